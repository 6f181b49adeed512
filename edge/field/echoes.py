"""Our own requests as they would come back: an adapter that echoes, a loop-back plug, joined wires."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.contract import FrameRequest, Spec

LEAST_ECHO = 4  # bytes


def echoes(spec: Spec, settings: Mapping[str, object] | None) -> Mapping[FrameRequest, Sequence[bytes]]:
    """What this driver's framing makes of each of its requests, come back: right after it was sent that is no frame of
    the device. Shorter than LEAST_ECHO, it could be one; and so it could where both sides say the same words."""
    if spec.same_words:
        return {}
    return {request: [frame for frame in spec.driver(settings).framing.feed(request.frame) if len(frame) >= LEAST_ECHO]
            for request in spec.requests if isinstance(request, FrameRequest)}
