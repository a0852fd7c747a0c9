"""What work took in this process: seconds as a whole and part by part, processor seconds, and memory at its highest."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What work took.

    Attributes
    ----------
    wall_s, cpu_s : float
        The latter of all threads.
    peak_mb : float
        Most resident memory of the process meanwhile: libraries and weights included.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float


def timed(work: Callable[[], Answer]) -> tuple[Answer, Taken]:
    """Do work, and say what it took."""
    _forget_peak()
    cpu, wall = time.process_time(), time.perf_counter()
    answer = work()
    taken = Taken(
        wall_s=round(time.perf_counter() - wall, 3), cpu_s=round(time.process_time() - cpu, 3), peak_mb=_peak_mb()
    )
    return answer, taken


@dataclass(slots=True)
class Clock:
    """Seconds by part, how many images each network saw, and of one that takes any size which."""

    parts: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add what is done within to a part."""
        started = time.perf_counter()
        yield
        self.parts[name] = self.parts.get(name, 0.0) + time.perf_counter() - started

    def count(self, name: str, images: int) -> str:
        """Add images that a network saw; return its name."""
        self.counts[name] = self.counts.get(name, 0) + images
        return name

    def count_sizes(self, name: str, sizes: Sequence[tuple[int, int]]) -> str:
        """Add images of some rows and columns that a network saw; return its name."""
        self.sizes.setdefault(name, []).extend(sizes)
        return self.count(name, len(sizes))

    def watch(self, owner: Any, attribute: str, name: Callable[..., str]) -> None:  # noqa: ANN401 - module or class
        """Time every call of a function from now on; `name` tells the part from its arguments."""
        inner = getattr(owner, attribute)

        def watched(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            with self.part(name(*args, **kwargs)):
                return inner(*args, **kwargs)

        setattr(owner, attribute, watched)


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return round(int(line.split()[1]) * 1024 / 1e6, 1)
