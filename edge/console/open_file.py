"""Which file a console has open, and whether somebody took it away, put another in its place or wrote over it: SQLite
does not look."""

from __future__ import annotations

from pathlib import Path

from edge.file_id import FileId, id_of, is_adrift, written

OTHER_DISK = "its disk is not mounted, or another one is mounted over its folder"


class OpenFile:
    """The file at `path` and what lies beside it, as they were when it was opened.

    One connection writes, and in WAL mode it alone writes into the main file, with a checkpoint at the end of a
    transaction (sqlite.org/wal.html, "Checkpointing"): who calls `noted` after each knows when somebody else did.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, id_of(path)
        self._beside: dict[str, FileId] = {}
        self._written = written(path)
        self.noted()

    def noted(self) -> None:
        """The connection has ended a transaction."""
        if id_of(self._path) == self._file:
            self._written = written(self._path)

    @property
    def in_place(self) -> bool:
        """Whether a reader who opens `path` sees what is written here."""
        if id_of(self._path) != self._file:
            return False
        for end in ("-wal", "-shm"):
            found = id_of(f"{self._path}{end}")
            if found is None and end not in self._beside:
                continue  # SQLite makes it with the first transaction
            if found is None or self._beside.setdefault(end, found) != found:
                return False
        return True

    @property
    def adrift(self) -> bool:
        """Not in place, and not because another disk is mounted there: closed, it would be lost."""
        if id_of(self._path) == self._file:
            return not self.in_place
        return self._file is None or is_adrift(self._path, self._file)

    @property
    def written_over(self) -> bool:
        """Whether somebody else changed the very file: what the connection sees is now partly theirs."""
        return id_of(self._path) == self._file and written(self._path) != self._written
