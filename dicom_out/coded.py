"""A code as an item of a Code Sequence, and as highdicom takes it.

References
----------
PS3.3 8.8 Code Sequence Macro.
"""

from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset

from inference.coding import Code


def code_item(code: Code) -> Dataset:
    """Return the item that holds a code."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def concept(code: Code) -> CodedConcept:
    """Return what the constructors of highdicom take for a code; they refuse any class but pydicom's and their own."""
    return CodedConcept(*code)
