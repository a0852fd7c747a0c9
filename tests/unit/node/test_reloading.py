"""What a running node takes over of a configuration that it reads again."""

from pathlib import Path

from node.config import Config
from node.reloading import reload
from node.rules import Rule
from node.sections import Destination, Dicom, EngineSettings, Log, Results, Settle, StorageSettings

OTHER = Config(
    dicom=Dicom(port=104, ae_title="NEW"),
    storage=StorageSettings(path=Path("elsewhere")),
    log=Log(level="DEBUG"),
    engine=EngineSettings(devices=("cuda:0",), time_limit_s=5, max_attempts=7),
    settle=Settle(quiet_ct_s=1),
    results=Results(series_number=700),
    destinations=(Destination(name="new", host="h", port=1, ae_title="A"),),
    rules=(Rule(name="new", pipelines=("lung-densitometry",), destinations=("new",)),),
)


def test_what_a_running_node_stands_on_waits_for_a_restart_and_the_rest_counts_at_once():
    change = reload(Config(), OTHER)
    assert change.config.dicom == Config().dicom
    assert change.config.storage == Config().storage
    assert change.config.log == Config().log
    assert change.config.engine == EngineSettings(max_attempts=7)
    assert change.config.settle == OTHER.settle
    assert change.config.rules == OTHER.rules
    assert change.config.destinations == OTHER.destinations
    assert change.changed == ("settle", "engine", "results", "destinations", "rules")
    assert change.waiting == (
        "dicom.ae_title",
        "dicom.port",
        "storage.path",
        "log.level",
        "engine.devices",
        "engine.time_limit_s",
    )


def test_the_same_again_changes_nothing_and_a_change_taken_back_waits_for_nothing():
    assert reload(Config(), Config()).changed == ()
    back = reload(reload(Config(), OTHER).config, Config())
    assert back.waiting == ()
    assert back.config == Config()
