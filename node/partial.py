"""A file that is being fetched: what came so far, and what tells the file it is of from a later one."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Partial:
    """Bytes from the file's begin, and a note beside them.

    Attributes
    ----------
    path : Path
        Of the bytes.
    url : str
        Where they come from.
    """

    path: Path
    url: str

    @property
    def size(self) -> int:
        """How many bytes came."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def mark(self) -> str:
        """The server's mark of the file that was begun; empty where it must be begun again."""
        try:
            noted = json.loads(self._note.read_text(encoding="utf-8"))
            return str(noted["mark"]) if noted["url"] == self.url and self.size else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def begin(self, mark: str) -> None:
        """Note the mark of the file that now comes."""
        self._note.write_text(json.dumps({"url": self.url, "mark": mark}), encoding="utf-8")

    def finish(self) -> None:
        """Forget the mark of a file that is whole."""
        self._note.unlink(missing_ok=True)

    def drop(self) -> None:
        """Forget everything that came."""
        self.path.unlink(missing_ok=True)
        self.finish()

    @property
    def _note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")
