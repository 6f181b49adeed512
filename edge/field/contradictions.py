"""Whether two devices answer on one line: what one says of the other's patient would be taken for its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from drivers.contract import Request

LATELY, MANY = 5, 3  # of so many times that one thing was asked so often came two answers that differ: no old answer
# comes again so often
TWO_ANSWER = "two devices answer on this line, or old answers come with the new ones"


class Contradictions:
    """Given each answer, and each whole frame that nobody waited for."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The line was opened."""
        self._last: tuple[Request, bytes] | None = None
        self._lately: dict[Request, deque[bool]] = {}

    def answered(self, request: Request, frame: bytes) -> None:
        """The first answer to `request`."""
        self._last = request, frame
        self._lately.setdefault(request, deque(maxlen=LATELY)).append(False)

    def besides(self, frame: bytes, is_response: Callable[[bytes, Request], bool]) -> None:
        """A frame that nobody waited for: perhaps another answer to the last request."""
        if self._last is not None and frame != self._last[1] and is_response(frame, self._last[0]):
            self._lately[self._last[0]][-1] = True

    @property
    def many(self) -> bool:
        """Whether nothing that comes can be taken for this device's."""
        return any(sum(told) >= MANY for told in self._lately.values())
