"""Work in a process of its own: what it loads, caches and patches ends with it, and its memory is its own."""

from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar, cast

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def alone(work: Callable[Given, Answer], *given: Given.args, **named: Given.kwargs) -> Answer:
    """Call a function in a new process, and return what it returns.

    Parameters
    ----------
    work : callable
        Of a module; it, what it is given and what it returns can be pickled.

    Raises
    ------
    RuntimeError
        If it raised, or its process ended without an answer; says why.
    """
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_in_process, args=(there, work, given, named), daemon=True)
    process.start()
    there.close()
    try:
        answer, problem = here.recv()
    except EOFError:
        answer, problem = None, "it was ended"
    process.join()
    if problem:
        raise RuntimeError(problem)
    return cast("Answer", answer)


def _in_process(to: Connection, work: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> None:
    try:
        to.send((work(*given, **named), ""))
    except Exception as error:  # noqa: BLE001 - told to the process that asked
        to.send((None, f"{type(error).__name__}: {error}"))
