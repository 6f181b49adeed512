"""What an edge says that it rejected or could not send, in words for a screen. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator

from edge.console.health import Trouble
from edge.contract.events import CommandRejected, PayloadsRejected, PayloadTooLarge
from edge.contract.payloads import BadPayload, EventOut

_STRANGE = ("forged", "replayed", "bad_shape")  # what no console of ours sends
_STRANGER = ("Something else speaks on the broker, or a console has a new key: then copy its console.pub to"
             " keys/NAME.pub in that edge's data folder. Tell the technician; nothing was done.")


class EdgeSaid:
    """What an edge itself rejected, or could not send: it says so in events of its own, of no bed."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[float, str, str]] = {}

    def receive(self, event: EventOut, now_s: float) -> None:
        """One event of kind `stream`, at this console's time."""
        try:
            body = event.read()
        except BadPayload:
            return  # of a later version; it is stored all the same
        match body:
            case PayloadsRejected(rejected_sender=sender, topic=topic, reason=reason, count=count):
                self._last["signatures", f"{sender} {reason}"] = (
                    now_s, f"{count} messages in the name of {sender} were rejected: {reason.replace('_', ' ')}, on"
                    f" {topic}", _STRANGER)
            case CommandRejected(console=console, reason=reason, more=more) if reason.startswith(_STRANGE):
                self._last["signatures", f"command {reason.partition(':')[0]}"] = (
                    now_s, f"{more + 1} commands in the name of {console or 'nobody'} were rejected: {reason[:80]}",
                    _STRANGER)
            case PayloadTooLarge(too_large=topic, size=size):
                self._last["broker", topic] = (
                    now_s, f"The broker does not take {size} bytes on {topic}", "Allow larger messages at the broker"
                    " (mosquitto: max_packet_size, message_size_limit).")
            case _:
                return

    def troubles(self, edge: str, now_s: float, shown_s: float) -> Iterator[Trouble]:
        """What was said in the last `shown_s`; older is forgotten."""
        self._last = {of: said for of, said in self._last.items() if now_s - said[0] < shown_s}
        for (part, _), (at_s, what, remedy) in self._last.items():
            yield Trouble(part, edge, at_s, f"{edge} says: {what}", remedy)
