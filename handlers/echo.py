"""C-ECHO: the node answers.

References
----------
PS3.4 A Verification Service Class.
"""

from pynetdicom.events import Event


def handle_echo(_event: Event) -> int:
    """Answer success."""
    return 0x0000
