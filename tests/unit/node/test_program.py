"""What the service has in memory before it serves."""

import json
import subprocess
import sys

_SERVICE = """
import json, sys
from contextlib import suppress
from node.program import main

with suppress(SystemExit):
    main()
from pydicom.pixels import get_decoder
from pydicom.uid import JPEGLosslessSV1

print(json.dumps({"loaded": sorted(sys.modules), "decodes": get_decoder(JPEGLosslessSV1).is_available}))
import gdcm
"""
_HEAVY = {"gdcm", "pylibjpeg", "openjpeg", "PIL", "requests", "pydicom.sr", "highdicom", "torch", "rich.markdown"}


def test_the_service_imports_no_decoder_and_no_dictionary_of_codes_and_hides_them_only_from_pydicom(tmp_path):
    """Of what is imported later `tests.integration.test_serve` sees all that has machine code."""
    ended = subprocess.run(
        [sys.executable, "-c", _SERVICE, "serve", "--config", tmp_path / "none.toml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = json.loads(ended.stdout.splitlines()[-1])
    assert {"pydicom", "node.app", "node.header"} <= set(said["loaded"])
    assert _HEAVY.intersection(said["loaded"]) == set()
    assert not said["decodes"]
