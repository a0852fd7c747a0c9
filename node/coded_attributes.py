"""What codes in a header say, in the words of the plain attributes that they stand in for.

References
----------
PS3.16 CID 4010 (DX View), CID 4031 (Common Anatomic Region), CID 7010 (Key Object Selection Document Title).
IHE RAD TF-2 4.66 (Imaging Object Change Management): key objects that take images out.
"""

from collections.abc import Mapping
from types import MappingProxyType

from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from node.attributes import items_of, text_of, texts_of_items
from node.code_meanings import REGIONS, VIEWS

_TERMS = MappingProxyType(
    {
        "postero-anterior": "PA",
        "antero-posterior": "AP",
        "left lateral": "LL",
        "right lateral": "RL",
    }
)
"""Of View Position (PS3.3 C.8.1.1), where it has one for a code's meaning."""
_OLDER: Mapping[str, str] = MappingProxyType({"R-10214": "PA", "51185008": "CHEST", "T-D3000": "CHEST"})
"""By the values of codes that the standard no longer lists."""
_REJECTIONS = frozenset({"113001", "113037", "113038", "113039"})
"""For reasons of quality, of patient safety, of a wrong worklist entry, of a retention policy; DCM."""


def coded_view(dataset: Dataset) -> str:
    """Return what View Code Sequence (0054,0220) says, in the terms of View Position where it has one."""
    return _said(dataset, "ViewCodeSequence", VIEWS)


def coded_body_part(dataset: Dataset) -> str:
    """Return what Anatomic Region Sequence (0008,2218) says; empty for regions that are not common ones."""
    return _said(dataset, "AnatomicRegionSequence", REGIONS)


def rejected_instances(dataset: Dataset) -> tuple[str, ...]:
    """Return the SOP Instance UIDs that a key object takes out; none of any other object."""
    titles = texts_of_items(dataset, ("ConceptNameCodeSequence",), "CodeValue")
    if text_of(dataset, "SOPClassUID") != KeyObjectSelectionDocumentStorage or not _REJECTIONS.intersection(titles):
        return ()
    evidence = ("CurrentRequestedProcedureEvidenceSequence", "ReferencedSeriesSequence", "ReferencedSOPSequence")
    return texts_of_items(dataset, evidence, "ReferencedSOPInstanceUID")


def _said(dataset: Dataset, sequence: str, meanings: Mapping[str, str]) -> str:
    for item in items_of(dataset, sequence):
        value = text_of(item, "CodeValue")
        if value in _OLDER:
            return _OLDER[value]
        if meaning := meanings.get(value):
            return _TERMS.get(meaning, meaning.upper())
    return ""
