"""What a campaign killed."""

from collections import Counter
from dataclasses import dataclass, field

from tests.torture.marks import Stage, Window


@dataclass
class Toll:
    """What was killed, and how it stood.

    Attributes
    ----------
    hits : Counter of Window
        Kills of the node while the window was open that the kill was meant for.
    also_open : Counter of Window
        Other windows that were open at those kills; not counted as hits.
    stages : Counter of Stage
        How far the worker was when the node was killed in `Window.RUNNING`.
    too_late : int
        Kills of the node when the window meant had just closed; counted nowhere else.
    workers : set of int
        Jobs whose worker was killed at them, once each, while the node lived.
    workers_too_late : set of int
        Jobs whose worker was killed when it had just returned: the node may have heard of it or not.
    senders : int
        Kills of a storescu while it sent.
    starts : int
        How often the node handed a job to a worker.
    left_behind : int
        Processes of an ended node that outlived it.
    """

    hits: Counter[Window] = field(default_factory=Counter)
    also_open: Counter[Window] = field(default_factory=Counter)
    stages: Counter[Stage] = field(default_factory=Counter)
    too_late: int = 0
    workers: set[int] = field(default_factory=set)
    workers_too_late: set[int] = field(default_factory=set)
    senders: int = 0
    starts: int = 0
    left_behind: int = 0
