"""What the embedded broker says of whom it refused, for the technician.

It is the one message that nobody signs: the broker has no key. It is believed only for what it is, the broker's own
word about itself, and nothing follows from it but a line on a screen. Nobody else can say it: the embedded broker takes
nothing on topics that begin with $ (MQTT 3.1.1, 4.7.2), and mosquitto refuses to have $SYS written.
"""

from __future__ import annotations

from typing import Literal

from edge.contract.payloads import Payload, Time

REFUSED_TOPIC = "$SYS/broker/vigil/refused"  # retained, QoS 1

RefusedFor = Literal["password", "will", "topic", "client_id", "full", "size", "deaf", "much"]


class RefusedClient(Payload, frozen=True, kw_only=True):
    """What of one user was refused, `count` times since `first`. `user` None: it gave no name. `client` is the last
    one's; both are as they came, at most 64 characters of each. `what` names the topic, the limit or the reason."""

    why: RefusedFor
    user: str | None
    client: str
    what: str
    count: int
    first: Time
    last: Time


class Refusals(Payload, frozen=True, kw_only=True):
    """Everything that the broker has refused since it began, the last first; `more`: so many kinds of refusal are no
    longer told singly."""

    since: Time
    refused: tuple[RefusedClient, ...] = ()
    more: int = 0
