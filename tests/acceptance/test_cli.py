"""What the command line says to a person who gets something wrong, and to a script."""

import json

import pytest
from typer.testing import CliRunner

from node.cli import app
from node.demo.pacs import AE_TITLE, EmbeddedPacs
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, list(map(str, arguments)))


@pytest.fixture
def files(tmp_path):
    chest = make_chest(slices=12, rows=64, columns=64, spacing_mm=(20.0, 5.5, 5.5))
    return write(tmp_path / "study", to_datasets(chest))


def test_send_stores_every_file_as_it_is(run, files, tmp_path):
    with EmbeddedPacs(tmp_path / "pacs") as pacs:
        done = run("send", tmp_path / "study", "--to", f"127.0.0.1:{pacs.port}", "--aet", AE_TITLE)
    assert done.exit_code == 0, done.output
    assert f"{len(files)} of {len(files)} stored" in done.output
    assert len(list((tmp_path / "pacs").iterdir())) == len(files)


def test_send_to_nobody_says_so_and_fails(run, files, tmp_path):
    done = run("send", tmp_path / "study", "--to", "127.0.0.1:9", "--aet", "NOBODY")
    assert done.exit_code == 1
    assert "cannot be reached" in done.output


def test_send_wants_host_and_port(run, files, tmp_path):
    done = run("send", tmp_path / "study", "--to", "localhost", "--aet", "X")
    assert done.exit_code == 2
    assert "host:port" in done.output


def test_a_wrong_configuration_is_reported_whole_by_every_command(run, tmp_path):
    (tmp_path / "config.toml").write_text("[dicom]\nport = 70000\nhost = 'nowhere'\n")
    for command in ("check-config", "serve", "status", "jobs"):
        done = run(command)
        assert done.exit_code == 2, command
        assert "dicom.port" in done.output
        assert "Traceback" not in done.output


def test_a_monitor_gets_one_line_on_stdout_for_a_wrong_configuration(run, tmp_path):
    (tmp_path / "config.toml").write_text("[dicom]\nport = 70000\nhost = 'nowhere'\nhots = 1\n")
    done = run("status", "--check")
    assert done.exit_code == 2
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    assert line.startswith("CRITICAL: config.toml cannot be used: ")
    assert line.endswith("(and 1 more); `opacity-node check-config`")


def test_status_of_a_node_that_does_not_run_is_critical(run):
    done = run("status", "--check")
    assert done.exit_code == 2
    assert done.output.startswith("CRITICAL: OPACITY_NODE does not answer on port 11112")
    health = json.loads(run("status", "--json").output)
    assert health["answering"] is False


def test_jobs_without_a_database_says_how_to_start(run):
    done = run("jobs")
    assert done.exit_code == 2
    assert "opacity-node serve" in done.output


def test_check_config_shows_the_rules(run):
    done = run("check-config")
    assert done.exit_code == 0
    assert "lung-densitometry" in done.output
    words = " ".join(done.output.split())
    for shown in (
        "OPACITY_NODE on 127.0.0.1:11112",
        "pacs: ORTHANC at 127.0.0.1:4242",
        "gets report, segmentation, key-image; maps: source-grid",
        "CT after 60 s",
        "kept for ever",
    ):
        assert shown in words
    assert json.loads(run("check-config", "--json").output)["dicom"]["port"] == 11112


def test_help_lists_commands_in_the_order_in_which_a_newcomer_needs_them(run):
    shown = run("--help").output
    ordered = ["demo", "serve", "check-config", "config", "status", "route", "jobs", "deliveries", "send", "run"]
    places = [shown.index(f" {name} ") for name in [*ordered, "pipelines", "models", "resolve"]]
    assert places == sorted(places)
