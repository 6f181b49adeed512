"""Whether two devices answer on one line: what one says of the other's patient would be taken for its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from drivers.contract import Request

LATELY, MANY = 5, 4  # of the last so many answers to one request so many had another one beside them: two devices; an
# old answer does not come again so often
SOON_S = 0.5  # real time: two that hear one request answer so close together. What a device sends by itself, such as an
# S/5 that a former host set to, comes at any time
TWO_ANSWER = "two devices answer on this line, or old answers come with the new ones"


class Contradictions:
    """Given each answer, and each whole frame that nobody waited for."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The line was opened."""
        self._last: tuple[Request, bytes, float] | None = None
        self._lately: dict[Request, deque[bool]] = {}

    def answered(self, request: Request, frame: bytes, real_s: float) -> None:
        """The first answer to `request`."""
        self._last = request, frame, real_s
        self._lately.setdefault(request, deque(maxlen=LATELY)).append(False)

    def besides(self, frame: bytes, real_s: float, is_response: Callable[[bytes, Request], bool]) -> None:
        """A frame that nobody waited for: perhaps another answer to the last request."""
        if self._last is None:
            return
        request, first, at_s = self._last
        if real_s - at_s <= SOON_S and frame != first and is_response(frame, request):
            self._lately[request][-1] = True

    @property
    def many(self) -> bool:
        """Whether nothing that comes can be taken for this device's."""
        return any(sum(told) >= MANY for told in self._lately.values())
