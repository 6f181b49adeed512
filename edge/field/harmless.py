"""A driver as it may talk to a device that is only looked at: by a probe, a check, a recording. It inflates nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from drivers.contract import Decoded, Driver, Effect, Heard, Request, Spec, unmapped_of

LATER_S = 7200.0  # edge seconds: long after it is over
QUIET_SETTINGS = {"start_s": LATER_S}  # a driver that has such a setting does nothing by itself meanwhile
LOOKS: frozenset[Effect] = frozenset({"identify", "read"})
WITH_MODES: frozenset[Effect] = LOOKS | {"mode"}


def harmless(spec: Spec, *, known: bool) -> Spec:
    """`spec` without the requests that start or stop a cuff; its driver gives out none of them.

    `known`: a person said that this is the device. Else nobody knows what is on the port, and the mode of a device with
    a cuff stays as somebody set it (how often it measures, whom it measures).
    """
    cuff = any(request.effect == "start_cuff" for request in spec.requests)
    effects = WITH_MODES if known or not cuff else LOOKS
    quiet = {name: value for name, value in QUIET_SETTINGS.items() if name in spec.settings}
    return replace(spec, requests=tuple(request for request in spec.requests if request.effect in effects),
                   make=lambda settings: _Harmless(spec.make({**settings, **quiet}), effects))


class _Harmless:
    def __init__(self, driver: Driver, effects: frozenset[Effect]) -> None:
        self.framing = driver.framing
        self._driver, self._effects = driver, effects
        self.unmapped = unmapped_of(driver)
        if isinstance(driver, Heard):
            self.heard_at = driver.heard_at

    def on_open(self) -> Sequence[Request]:
        return [request for request in self._driver.on_open() if request.effect in self._effects]

    def next_request(self, at_s: float) -> Request | None:
        request = self._driver.next_request(at_s)
        return request if request is not None and request.effect in self._effects else None

    def is_response(self, frame: bytes, request: Request) -> bool:
        return self._driver.is_response(frame, request)

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        return self._driver.decode(frame, request)

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        return self._driver.on_timeout(request)
