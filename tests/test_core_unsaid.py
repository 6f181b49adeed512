"""What nobody has said is nothing: no time, no amount, no name, "no". A snapshot of an older version that lacks a
field, and a file that leaves out a key, mean that; what means more stands here. And what a key may say at most."""

from __future__ import annotations

import dataclasses
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import msgspec
import pytest

import edge.core
from edge.core import engine, interlock_table, ladder, protocol, rules, story_bed, tables
from edge.core.engine import Engine
from edge.core.hold import Progress
from edge.core.story_bed import StoryBed

SAYS: dict[str, Any] = {
    "Alarm.state": "inactive", "Device.link": "connecting", "Session.dissociation": "none",
    "BedState.gap_why": "restart",
    "Alarm.priority": "none", "Alarm.quiet_to": "none", "Alarm.kept_sound": "none",
    "Spot.metric": "spo2_pct", "Order.nibp_interval_min": 5.0, "BedState.nibp_interval_s": 300.0,  # as in 0.1.0
    "Pk.amounts": (0.0, 0.0, 0.0, 0.0), "Coverage.share": 1.0, "Fact.determinations": 1, "Parameter.form": "{}",
    "Attention.lost_together": 1_000_000, "_AttentionTable.lost_together": 1_000_000,
    "PkModel.degraded_after_s": 30, "Protocol.route": "intravenous", "DissociationTimes.counted_from": "end",
    "Escalation.context": {"*"}, "EscalationTable.context": ["*"], "Scope.whole": True, "Raise.called": True,
}
NOT_HERE = {Engine, StoryBed, story_bed.Shown}  # test_rules.py has the one; the others are what a story's bed does


def types() -> Iterator[type]:
    for module in pkgutil.iter_modules(edge.core.__path__, "edge.core."):
        for one in vars(import_module(module.name)).values():
            if isinstance(one, type) and one.__module__ == module.name and one not in NOT_HERE:
                yield one


def left_out(of: type) -> dict[str, Any]:
    """What each field is that nobody sets."""
    if issubclass(of, msgspec.Struct):
        structs = msgspec.structs.fields(of)
        return {one.name: one.default_factory() if one.default is msgspec.NODEFAULT else one.default
                for one in structs if not one.required}
    if dataclasses.is_dataclass(of):
        fields = [one for one in dataclasses.fields(of) if one.init]
        values = {one.name: one.default if one.default_factory is dataclasses.MISSING else one.default_factory()
                  for one in fields}
        return {name: value for name, value in values.items() if value is not dataclasses.MISSING}
    return dict(getattr(of, "_field_defaults", {}))


def is_nothing(value: Any) -> bool:
    """So is a struct of nothings; a function is no value."""
    if isinstance(value, msgspec.Struct):
        return type(value) is Engine or all(map(is_nothing, msgspec.structs.asdict(value).values()))
    return not value or callable(value)


def test_what_nobody_has_said_is_nothing_or_stands_here() -> None:
    said = {f"{of.__name__}.{name}": value for of in types() for name, value in left_out(of).items()
            if not is_nothing(value)}
    assert {name: value for name, value in said.items() if not name.startswith("RuleSet.")} == SAYS
    assert left_out(Progress) == {"since_s": None, "unknown_since_s": None}


def key(struct: type[msgspec.Struct], name: str) -> Any:
    """What the value of a key may be."""
    return next(one.type for one in msgspec.structs.fields(struct) if one.name == name)


BOUNDS: list[tuple[Any, tuple[Any, ...], tuple[Any, ...]]] = [  # what is taken, at the bounds; refused, a step beyond
    (engine.Seconds, (0, 86_400), (-0.1, 86_400.1)), (engine.Part, (0, 1), (-0.1, 1.1)),
    (engine.Pressure, (0, 300), (-0.1, 300.1)), (engine.Percent, (0, 100), (-0.1, 100.1)),
    (engine.Volume, (0, 100), (-0.1, 100.1)), (engine.Times, (0, 10), (-0.1, 10.1)),
    (protocol.Minutes, (0, 240), (-0.1, 240.1)), (protocol.Number, (0, 1000), (-0.1, 1000.1)),
    (protocol.Score, (0, 100), (-1, 101)), (protocol.Part, (0.1, 1), (0, 1.1)), (protocol.Rate, (0, 10), (-0.1, 10.1)),
    (key(protocol.ByHand, "device_mg"), (0.1, 1000), (0, 1000.1)),
    (key(protocol.Course, "kvo_part"), (0, 1), (-1, 1.1)), (key(protocol.PkModel, "v1_l_kg"), (0.1, 100), (0, 100.1)),
    (key(ladder._AttentionTable, "lost_together"), (2,), (1,)),
    (rules.Seconds, (0, 999_999_999), (-0.1, 1e9)), (interlock_table.Seconds, (0.1, 600), (0, 600.1)),
    (key(interlock_table._Stops, "unacknowledged_s"), (0, 600), (-0.1, 600.1)),
    (key(interlock_table._Table, "stops"), ([{}],), ([],)), (ladder._Steps, ([{}],), ([],)),
    (key(protocol.ByHand, "doses_mg"), ([56],), ([],)), (rules.Contexts, (["*"],), ([],)),
    (protocol.Text, ("a",), ("",)), (tables.Text, ("a",), ("",)), (key(protocol.Protocol, "id"), ("a", "a" * 64),
                                                                   ("", "a" * 65)),
]


@pytest.mark.parametrize(("kind", "taken", "refused"), BOUNDS)
def test_what_a_key_may_say_at_most(kind: Any, taken: tuple[Any, ...], refused: tuple[Any, ...]) -> None:
    for value in taken:
        msgspec.convert(value, kind)
    for value in refused:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(value, kind)
