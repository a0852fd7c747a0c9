"""A short random pause at each step that a crash could separate from the next."""

import functools
import os
import random
import time
from collections.abc import Callable
from typing import Any

SEED = "TORTURE_SEED"
_LONGEST_S = 0.003
_random = random.Random(os.environ.get(SEED))  # noqa: S311 - guards nothing


def pause() -> None:
    time.sleep(_random.uniform(0, _LONGEST_S))


def pause_around_system_calls() -> None:
    """Pause before and after all that makes bytes durable or moves them."""
    for name in ("fsync", "rename", "unlink"):
        setattr(os, name, _between_pauses(getattr(os, name)))


def _between_pauses(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def paused(*arguments: Any, **options: Any) -> Any:
        pause()
        try:
            return call(*arguments, **options)
        finally:
            pause()

    return paused
