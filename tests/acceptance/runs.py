"""`opacity-node run` as tests call it, and what it wrote."""

import csv
import json
from functools import cache

from typer.testing import CliRunner

from node.cli import app
from phantom.cxr import make_radiograph


@cache
def chest_xray():
    return make_radiograph(rows=512, columns=512, spacing_mm=0.72)


def invoke(*arguments):
    return CliRunner().invoke(app, ["run", *map(str, arguments)], env={"COLUMNS": "160"})


def rows(out):
    with (out / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def findings_in(out):
    (path,) = out.glob("*/findings.json")
    return json.loads(path.read_text()), path.parent
