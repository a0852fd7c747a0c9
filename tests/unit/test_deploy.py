"""What lies in deploy/ agrees with the image, the configuration and the rest of the repository."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from node import config
from node.app import _ASSOCIATION_GRACE_S
from node.cli import app
from node.sections import EngineSettings
from tests.dockerfile import REPOSITORY
from tests.peers import find_tool, need

DEPLOY = REPOSITORY / "deploy"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
STATE = Path("/var/lib/opacity-node")
CLEAN_END_S = _ASSOCIATION_GRACE_S + EngineSettings().stop_grace_s


def test_compose_waits_for_a_clean_end_and_names_the_image_by_version() -> None:
    node = COMPOSE["services"]["opacity-node"]
    assert int(node["stop_grace_period"].removesuffix("s")) > CLEAN_END_S
    assert node["image"] == f"opacity-node:{PROJECT['project']['version']}"


@pytest.mark.parametrize("service", COMPOSE["services"])
def test_every_service_of_compose_is_as_closed_as_it_can_be(service: str) -> None:
    settings = COMPOSE["services"][service]
    assert settings["read_only"]
    assert settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]
    assert re.search(r":v?\d+\.\d+\.\d+$", settings["image"])
    assert all(port.startswith("127.0.0.1:") for port in settings.get("ports", []))


def test_every_file_that_compose_mounts_is_there_and_mounted_for_reading() -> None:
    mounts = [mount for service in COMPOSE["services"].values() for mount in service.get("volumes", [])]
    files = [mount.split(":") for mount in mounts if mount.startswith(".")]
    assert files
    for source, _, mode in files:
        assert (DEPLOY / source).is_file()
        assert mode == "ro"
    assert {mount.split(":")[0] for mount in mounts} - {file[0] for file in files} == set(COMPOSE["volumes"])


def test_the_node_of_compose_reaches_the_pacs_and_nothing_else() -> None:
    services = COMPOSE["services"]
    assert services["opacity-node"]["networks"] == ["dicom"]
    assert COMPOSE["networks"]["dicom"] == {"internal": True}
    assert "dicom" not in services["ohif"]["networks"]


@pytest.fixture
def unit(tmp_path) -> Path:
    """The unit, with a program that is there in place of the installed one, which systemd looks for."""
    text = (DEPLOY / "opacity-node.service").read_text()
    file = tmp_path / "opacity-node.service"
    file.write_text(text.replace("/opt/opacity-node/bin/opacity-node", "/bin/true"))
    return file


def systemd_analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = need(find_tool("systemd-analyze"), "systemd-analyze is not installed (Debian: apt-get install systemd)")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_systemd_understands_every_line_of_the_unit(unit: Path) -> None:
    done = systemd_analyze("verify", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_finds_little_left_that_the_service_could_do(unit: Path) -> None:
    done = systemd_analyze("security", "--offline=true", "--threshold=20", unit)
    assert done.returncode == 0, done.stdout[-200:]


def test_the_unit_waits_for_a_clean_end_and_calls_commands_that_there_are() -> None:
    unit = (DEPLOY / "opacity-node.service").read_text()
    (waits,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, flags=re.MULTILINE)
    assert int(waits) > CLEAN_END_S
    called = set(re.findall(r"bin/opacity-node (\S+)", unit))
    assert called == {"check-config", "serve"}
    assert called <= {
        command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands
    }


def test_the_page_about_deployment_turns_the_shipped_configuration_into_the_services(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "deployment.md").read_text()
    (line,) = [line for line in page.splitlines() if "opacity-node config |" in line]
    file = tmp_path / "config.toml"
    here = line.replace("/opt/opacity-node/bin/opacity-node", f"{sys.executable} -m node").replace(
        "/etc/opacity-node/config.toml", str(file)
    )
    subprocess.run(["sh", "-c", here], cwd=REPOSITORY, check=True, timeout=60)
    storage = config.load(file).storage
    assert (storage.path, storage.weights) == (STATE / "storage", STATE / "weights")
    assert f"StateDirectory={STATE.name}" in (DEPLOY / "opacity-node.service").read_text()


def test_the_configuration_of_the_compose_file_names_its_services() -> None:
    settings = config.load(DEPLOY / "opacity-node.toml")
    orthanc = json.loads((DEPLOY / "orthanc.json").read_text())
    (destination,) = settings.destinations
    assert (destination.host, destination.port, destination.ae_title) == (
        "orthanc",
        orthanc["DicomPort"],
        orthanc["DicomAet"],
    )
    assert settings.dicom.calling_ae_titles == (orthanc["DicomAet"],)
    assert orthanc["DicomModalities"] == {
        "opacity-node": [settings.dicom.ae_title, "opacity-node", settings.dicom.port]
    }
    assert {destination.host, "opacity-node"} <= set(COMPOSE["services"])
    assert {pipeline for rule in settings.rules for pipeline in rule.pipelines} == {
        pipeline for rule in config.load(REPOSITORY / "config.toml").rules for pipeline in rule.pipelines
    }


def test_the_viewer_reads_from_the_pacs_and_nginx_understands_its_file(tmp_path: Path) -> None:
    orthanc = json.loads((DEPLOY / "orthanc.json").read_text())
    text = (DEPLOY / "ohif-nginx.conf").read_text()
    assert f"location {orthanc['DicomWeb']['Root']} {{\n      proxy_pass http://orthanc:{orthanc['HttpPort']};" in text
    for root in re.findall(r"(?:qido|wado|wadoUri)Root: '([^']*)'", (DEPLOY / "ohif-config.js").read_text()):
        assert f"{root}/" == orthanc["DicomWeb"]["Root"]
    nginx = need(find_tool("nginx"), "nginx is not installed (Debian: apt-get install nginx-light)")
    here = tmp_path / "nginx.conf"
    here.write_text(text.replace("http://orthanc:", "http://127.0.0.1:").replace(" /tmp/", f" {tmp_path}/"))
    done = subprocess.run([nginx, "-t", "-c", here], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
