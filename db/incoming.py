"""Files that take what is being received: their names are on stable storage before anything is written into them.

To make an instance durable takes the syncs of its file and of its folder. Here the folder is synced once for a number
of empty files, ahead of need, so that an instance waits for its own file alone. When it is whole, it is sealed, synced
and moved to where it belongs; that move is not synced. Should it be lost with the power, the file lies here, whole and
sealed, and `handlers.adoption` moves it again.

References
----------
POSIX fsync: the sync of a file does not make its folder's entry durable.
"""

import contextlib
import os
import secrets
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from isal import isal_zlib

from db.files import sync_folder

AHEAD = 32
"""Empty files that wait."""
_NAME_BYTES = 16


class IncomingFile:
    """A file that grows, and is kept or dropped.

    Parameters
    ----------
    folder : str
        Where it is made.
    name : str
        Nothing must have it there. Random, and told to nobody, until it is kept under another.

    Attributes
    ----------
    size : int
        Bytes written, those of the header left out.
    crc32 : int
        Over them.

    Raises
    ------
    OSError
        If it cannot be made.
    """

    def __init__(self, folder: str, name: str) -> None:
        self.name = name
        self._path = f"{folder}/{name}"  # pathlib takes longer than making the file
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._header_size = 0
        self.size = 0
        self.crc32 = 0

    def leave_room(self, header_size: int) -> None:
        """Begin behind a header, which is written last."""
        self._header_size = header_size

    def write(self, chunk: bytes | memoryview) -> None:
        """Append bytes; raises `OSError` if they cannot be written."""
        self.crc32 = isal_zlib.crc32(chunk, self.crc32)
        view = memoryview(chunk)
        while view:
            written = os.pwrite(self._descriptor, view, self._header_size + self.size)
            self.size += written
            view = view[written:]

    def read(self, size: int) -> bytes:
        """Return what was written behind the header, as far as it goes."""
        return os.pread(self._descriptor, size, self._header_size)

    def seal(self, header: bytes) -> None:
        """Write the header, of the size for which there is room; raises `OSError` if it cannot be written."""
        if os.pwrite(self._descriptor, header, 0) != len(header):
            raise OSError("a header was written in part")

    def keep(self, path: Path) -> None:
        """Make it durable and move it, on the same file system.

        Raises
        ------
        OSError
            If it could not be made durable; it is gone then.
        """
        try:
            os.fsync(self._descriptor)
            os.rename(self._path, path)  # noqa: PTH104 - see above
        except OSError:
            self.drop()
            raise
        self._close()

    def drop(self) -> None:
        """Remove it, unless it was kept."""
        if self._descriptor >= 0:
            self._close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)  # noqa: PTH108 - see above

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


class Incoming:
    """Makes them, ahead of need once it is started.

    Parameters
    ----------
    folder : Path
        Exists, on the file system to which they are moved; nobody else's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: deque[IncomingFile] = deque()
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        self._maker = threading.Thread(target=self._make_ahead, name="incoming", daemon=True)

    def start(self) -> None:
        """Make files ahead of need."""
        self._wanted.set()
        self._maker.start()

    def stop(self) -> None:
        """Make no more, and remove those that wait."""
        self._stopped.set()
        self._wanted.set()
        if self._maker.is_alive():
            self._maker.join()
        while self._waiting:
            with contextlib.suppress(OSError, IndexError):  # it goes when the node starts again; it was just taken
                self._waiting.popleft().drop()

    def take(self) -> IncomingFile:
        """Return an empty file whose name is durable.

        Raises
        ------
        OSError
            If none waits and none can be made.
        """
        try:
            file = self._waiting.popleft()
        except IndexError:
            (file,) = self._made(1)
        if len(self._waiting) <= AHEAD // 2:
            self._wanted.set()
        return file

    def _make_ahead(self) -> None:
        while not self._stopped.is_set():
            self._wanted.wait()
            self._wanted.clear()
            with contextlib.suppress(OSError):  # whoever takes one is told, and tells of it
                self._waiting.extend(self._made(0 if self._stopped.is_set() else AHEAD - len(self._waiting)))

    def _made(self, count: int) -> list[IncomingFile]:
        files: list[IncomingFile] = []
        try:
            files.extend(IncomingFile(str(self._folder), name) for name in _new_names(count))
            if files:
                sync_folder(self._folder)
        except OSError:
            for file in files:
                with contextlib.suppress(OSError):  # it goes when the node starts again
                    file.drop()
            raise
        return files


def _new_names(count: int) -> Iterator[str]:
    random = secrets.token_hex(_NAME_BYTES * count)
    return (f"{random[at : at + 2 * _NAME_BYTES]}.part" for at in range(0, len(random), 2 * _NAME_BYTES))
