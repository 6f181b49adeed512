"""States of beds that came before what makes them believable: a status that names the bed, or is as new."""

from __future__ import annotations

MAX_BYTES = 16 * 2**20  # together; beyond it the oldest go: an edge sends each state again


class EarlyStates:
    """The last one of each bed, as it came."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}
        self._bytes = 0

    def take(self, bed: str) -> bytes | None:
        """The one of this bed, which is then the caller's."""
        state = self._kept.pop(bed, None)
        self._bytes -= len(state or b"")
        return state

    def hold(self, bed: str, state: bytes) -> None:
        """This one of the bed, in place of an earlier one."""
        self.take(bed)
        self._kept[bed] = state
        self._bytes += len(state)
        while self._bytes > MAX_BYTES:
            self.take(next(iter(self._kept)))

    def all(self) -> list[tuple[str, bytes]]:
        """Every one, with its bed."""
        return list(self._kept.items())
