"""A coded concept, as findings name what they say.

pydicom has one as well, but the module that defines it brings every code of PS3.16 along: 16 MB and 0.1 s, in a service
that knows its codes. Writers hand these to highdicom by `dicom_out.coded.concept`.

References
----------
PS3.3 8.8 Code Sequence Macro.
"""

from typing import NamedTuple


class Code(NamedTuple):
    """A value of a coding scheme, in the order in which pydicom and highdicom take it.

    Two are the same if they stand for the same concept, whatever words they show it with.
    """

    value: str
    scheme_designator: str
    meaning: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and self[:2] == other[:2]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self[:2])
