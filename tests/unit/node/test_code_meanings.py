"""The codes of headers that the service knows by itself, held against all that pydicom knows."""

import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from node.code_meanings import REGIONS, VIEWS


@pytest.mark.parametrize(("context_group", "meanings"), [(codes.cid4010, VIEWS), (codes.cid4031, REGIONS)])
def test_every_code_of_the_standard_has_its_meaning_in_snomed_ct_and_in_snomed_rt(context_group, meanings):
    concepts = context_group.concepts.values()
    older = {code: meaning for code, meaning in meanings.items() if code[0].isalpha()}
    assert {code: meaning for code, meaning in meanings.items() if code not in older} == {
        concept.value: concept.meaning for concept in concepts
    }
    for code, meaning in older.items():
        assert [concept.meaning for concept in concepts if concept == Code(code, "SRT", "")] == [meaning]
    assert len(older) > 0.9 * len(concepts)
