"""Each transform of the package, on a real CT and on phantoms: all slices, tiny networks in place of the large ones."""

import numpy as np

from tests.parity import ours
from tests.parity.evidence import rounded
from tests.parity.steps import compare


def test_every_step_gives_what_the_package_gives(case, theirs_on, tiny_shelf, monkeypatch, evidence):
    theirs = theirs_on(case)
    recorded, _ = ours.run(monkeypatch, case.series, case.labels, tiny_shelf)
    compared = compare(theirs, recorded)
    assert compared.departures == []
    assert np.abs(theirs["logits"]).max() < 4
    kept = recorded["kept slices"].shape[2]
    evidence.add("each step, small networks", f"{case.name}, {kept} slices kept", rounded(compared.differences))
