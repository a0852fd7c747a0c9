"""A code as an item of a Code Sequence.

References
----------
PS3.3 8.8 Code Sequence Macro.
"""

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code


def code_item(code: Code) -> Dataset:
    """Return the item that holds a code."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item
