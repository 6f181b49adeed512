"""Our own requests as they would come back: an adapter that echoes, a loop-back plug, joined wires.

Right after it was sent, such a frame is none of the device's. Shorter than LEAST_ECHO, it could be one; before the echo
of a longer one, as an acknowledgement that a framing takes for the next frame's, it is ours. Where both sides say the
same words (`Spec.same_words`) it could be too: there an echo is taken off as long as no response came before the echo
of its request, which on an adapter that echoes cannot be.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from drivers.contract import FrameRequest, Request, Spec

LEAST_ECHO = 4  # bytes
ECHO_WITHIN_S = 0.5  # of the last request: an echo is as fast as the line; some devices send the same words themselves


class Echoes:
    """What one driver's framing makes of its own requests."""

    def __init__(self, spec: Spec, settings: Mapping[str, object] | None) -> None:
        self._same_words = spec.same_words
        self._of = {request: [frame for frame in spec.driver(settings).framing.feed(request.frame)
                              if len(frame) >= LEAST_ECHO]
                    for request in spec.requests if isinstance(request, FrameRequest)}
        self._own: deque[bytes] = deque(maxlen=8)  # what was sent lately, as its echo would be
        self._brief = b""  # the last that was too short to have one, since then
        self._last = b""
        self._sent_s = 0.0
        self._none = False  # the line has shown that it does not echo

    def forget(self) -> None:
        """The adapter may be another one now."""
        self._none = False

    def sent(self, request: Request, real_s: float) -> None:
        """It goes out now."""
        self._sent_s = real_s
        self._last = request.frame if isinstance(request, FrameRequest) and request in self._of else b""
        if not isinstance(request, FrameRequest):
            return
        if len(request.frame) < LEAST_ECHO:
            self._brief = request.frame
        self._own.extend(self._of.get(request, ()))

    def begins(self, data: bytes) -> bool:
        """Whether what comes begins with what was sent last."""
        return not self._none and len(self._last) >= LEAST_ECHO and data.startswith(self._last)

    def is_echo(self, frame: bytes, real_s: float) -> bool:
        """Whether it is our own. Then the next one like it is not."""
        if self._none or real_s - self._sent_s >= ECHO_WITHIN_S:
            return False
        ours = frame.removeprefix(self._brief) if frame not in self._own else frame
        if ours not in self._own:
            return False
        self._own.remove(ours)
        self._brief = b""
        return True

    def answered(self, request: Request) -> None:
        """The response to `request` came."""
        if self._same_words and isinstance(request, FrameRequest) and any(
                frame in self._own for frame in self._of.get(request, ())):
            self._none = True
            self._own.clear()
