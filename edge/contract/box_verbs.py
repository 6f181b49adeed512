"""What a technician may ask of an edge as a whole, and not of one of its beds. None of it reaches a patient's bed."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from edge.contract.verb import Verb
from edge.model import Role

TECHNICIAN: frozenset[Role] = frozenset({"technician"})
MAX_AT = 300  # characters of a device's place
MAX_OF = 80  # characters of a driver's name, or of bed/device


class LookAtPorts(Verb, frozen=True, kw_only=True):
    """List the serial ports of the box."""

    verb: ClassVar[str] = "look_at_ports"
    roles: ClassVar[frozenset[Role]] = TECHNICIAN


class ProbePort(Verb, frozen=True, kw_only=True):
    """Find out which device is at a place that no device of edge.toml has: a port, or tcp://host:port."""

    verb: ClassVar[str] = "probe_port"
    roles: ClassVar[frozenset[Role]] = TECHNICIAN

    at: Annotated[str, Meta(min_length=1, max_length=MAX_AT, pattern=r"^(/|[a-z+]+://)[!-~]+$(?!\n)", title="Where")]


class ShowDriver(Verb, frozen=True, kw_only=True):
    """The wiring card of a driver, or of a device's driver; the list of all where neither is named."""

    verb: ClassVar[str] = "show_driver"
    roles: ClassVar[frozenset[Role]] = TECHNICIAN

    of: Annotated[str, Meta(max_length=MAX_OF, pattern=r"^[A-Za-z0-9_./-]*$(?!\n)", title="Driver, or bed/device")] = ""


class ReadAgain(Verb, frozen=True, kw_only=True):
    """Read edge.toml again, and go over to it where it is good."""

    verb: ClassVar[str] = "read_again"
    roles: ClassVar[frozenset[Role]] = TECHNICIAN


BOX_VERBS: dict[str, type[Verb]] = {asked.verb: asked for asked in (LookAtPorts, ProbePort, ShowDriver, ReadAgain)}
