"""What the embedded broker refused, with what a technician does about each."""

from __future__ import annotations

from collections.abc import Iterable

from edge.console.schemas import RefusedByBroker, RefusedNow
from edge.contract.broker_said import Refusals, RefusedClient, RefusedFor

_STRANGER = "If it is none of ours, find the program on this machine that does it: it has got nowhere."
REMEDIES: dict[RefusedFor, str] = {
    "password": "If it is ours: write into its password_file what the broker's password file was made with. "
                + _STRANGER,
    "topic": "If it is ours and needs this: add the topic below its user in the broker's access file, and start the"
             " broker again. If not, give that user a new password.",
    "will": "If it is ours and needs this: add the topic below its user in the broker's access file, and start the"
            " broker again. If not, give that user a new password.",
    "client_id": "Two programs use one client id: give one of them another name, or end it.",
    "full": "End programs that need not be connected; one that connects again and again has a fault.",
    "size": "If it is ours it has a fault: keep its log and tell who maintains it. " + _STRANGER,
    "much": "If it is ours it has a fault: keep its log and tell who maintains it. If not, give that user a new"
            " password.",
    "deaf": "The program hangs, or is too slow for what it asked for: start it again, or ask for fewer topics.",
}


def refused_by_broker(said: Iterable[Refusals | None]) -> RefusedByBroker:
    """As the API gives it, of the first connection that heard anything; `told` False: this broker tells nothing."""
    heard = next((each for each in said if each is not None), None)
    if heard is None:
        return RefusedByBroker(told=False, since=None, refused=[], more=0)
    rows = [_row(each) for each in heard.refused]
    return RefusedByBroker(told=True, since=heard.since, refused=rows, more=heard.more)


def _row(one: RefusedClient) -> RefusedNow:
    return RefusedNow(why=one.why, user=one.user, client=one.client, what=one.what, count=one.count, first=one.first,
                      last=one.last, remedy=REMEDIES[one.why])
