from pathlib import Path

import pytest

from node import config
from node.config import Config, ConfigError

SHIPPED = Path(__file__).parents[3] / "config.toml"


def write(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


def test_the_shipped_file_says_exactly_what_is_built_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    built_in = config.load().model_dump(exclude={"storage"})
    assert config.load(SHIPPED).model_dump(exclude={"storage"}) == built_in


def test_the_shipped_file_names_every_setting():
    import tomllib

    shipped = tomllib.loads(SHIPPED.read_text())
    for section, value in Config().model_dump().items():
        keys = set(value) if isinstance(value, dict) else set(value[0])
        given = shipped[section] if isinstance(value, dict) else shipped[section][0]
        assert set(given) == keys, section


def test_it_listens_on_this_machine_only_by_default():
    assert Config().dicom.host == "127.0.0.1"


def test_every_error_is_reported_at_once_with_its_place(tmp_path):
    path = write(
        tmp_path,
        '[dicom]\nport = 99999\nae_title = "MUCH TOO LONG AE TITLE"\nhots = "x"\n'
        '[[rules]]\nname = "a"\nmodality = "MR"\npipelines = []\n',
    )
    with pytest.raises(ConfigError) as error:
        config.load(path)
    lines = str(error.value).splitlines()
    assert len(lines) == 5
    for place in (
        "dicom.port = 99999",
        "dicom.ae_title",
        "dicom.hots",
        "rules[0].modality = 'MR'",
        "rules[0].pipelines",
    ):
        assert any(place in line for line in lines), place
    assert all(str(path) in line for line in lines)


def test_unknown_pipelines_and_destinations_are_named_with_those_there_are(tmp_path):
    path = write(
        tmp_path,
        '[[rules]]\nname = "a"\nmodality = "CT"\npipelines = ["nope"]\ndestinations = ["nowhere"]\n',
    )
    with pytest.raises(ConfigError, match=r"(?s)'nope'; there are: lung-densitometry.*'nowhere'; there are: pacs"):
        config.load(path)


def test_a_file_that_is_not_toml_or_not_there_is_said_to_be_so(tmp_path):
    with pytest.raises(ConfigError, match="is not TOML"):
        config.load(write(tmp_path, "[dicom\n"))
    with pytest.raises(ConfigError, match="no such file"):
        config.load(tmp_path / "absent.toml")


def test_the_environment_overrides_the_file(tmp_path, monkeypatch):
    path = write(tmp_path, "[dicom]\nport = 104\n")
    monkeypatch.setenv("OPACITY_NODE_DICOM__PORT", "11113")
    assert config.load(path).dicom.port == 11113


def test_relative_paths_count_from_the_file(tmp_path):
    assert config.load(write(tmp_path, "")).storage.path == tmp_path.resolve() / "storage"


@pytest.mark.parametrize("title", ["", " ", "A" * 17, "A\\B", "Ä"])
def test_ae_titles_follow_the_standard(tmp_path, title):
    with pytest.raises(ConfigError, match="ae_title"):
        config.load(write(tmp_path, f"[dicom]\nae_title = '{title}'\n"))
