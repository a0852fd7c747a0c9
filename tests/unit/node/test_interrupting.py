"""Ctrl-C, of which none is lost."""

import signal

import pytest

from node.demo.interrupting import CtrlC


class Dropping:
    """Goes at a Ctrl-C: what is raised meanwhile, Python drops."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_python_dropped_is_raised_once_when_asked_for():
    with CtrlC() as ctrl_c:
        Dropping()
        with pytest.raises(KeyboardInterrupt):
            ctrl_c.heed()
        ctrl_c.heed()


def test_it_interrupts_at_once_as_python_does_and_leaves_the_handler_as_it_was():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), CtrlC():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_it_waits_for_the_end_of_what_must_not_be_left_half_done():
    done = []

    def half():
        with CtrlC() as ctrl_c, ctrl_c.later():
            signal.raise_signal(signal.SIGINT)
            done.append("the other half")

    with pytest.raises(KeyboardInterrupt):
        half()
    assert done
