"""What the page knows of the contract, written for it: its types, the limits of every verb, and the vocabulary.

`python -m edge.contract.typescript` writes edge/console/web/src/contract.ts. A test compares the file with what this
makes, so the page cannot believe anything else than the edge says.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from edge import model
from edge.contract import accounts, events, payloads, treatment_now
from edge.contract.box import PortNow
from edge.contract.commands import MAX_PATIENT_NAME, VERBS, Argument, arguments
from edge.contract.problems import Problem
from edge.contract.verb import NURSE
from edge.sound import BURSTS, FUNDAMENTAL_HZ, HARMONICS, INFORMATION, Burst
from edge.vocabulary import ATTESTATIONS, METRICS, SYMPTOMS

FILE = Path(__file__).parent.parent / "console" / "web" / "src" / "contract.ts"
HEAD = "/** The contract as the page knows it. Made by `python -m edge.contract.typescript`; do not edit. */\n"

# words the rooms share, by the name they have in the page
WORDS: dict[str, Any] = {
    "Role": model.Role, "Priority": model.Priority, "AlarmState": model.AlarmState, "AlarmClass": model.AlarmClass,
    "PumpState": model.PumpState, "Phase": model.Phase, "Dissociation": model.Dissociation,
    "LinkState": model.LinkState, "DeviceKind": model.DeviceKind, "Validity": model.Validity,
    "EventKind": events.EventKind, "Route": model.Route,
}
KNOWN = frozenset({"alarm", "seq", "shelf"})  # arguments that a person points at, and never types
STRUCTS: tuple[type[msgspec.Struct], ...] = (
    payloads.Numeric, payloads.PumpNow, payloads.OtherNumeric, payloads.Vitals, payloads.Wave,
    events.Order, events.Baseline,
    payloads.CheckInNow, payloads.DoseNow, payloads.OpenNow, payloads.NextNow,
    payloads.AttestedNow, payloads.EstimateNow, payloads.LimitNow, treatment_now.HeldNow,
    payloads.SpotNow, payloads.BpNow, payloads.StayNow,
    payloads.SessionNow, events.Evidence, payloads.Signals, payloads.FallenLevel,
    payloads.CauseNow,
    payloads.ToldNow, payloads.CommentNow, payloads.DelegationNow, payloads.InformationNow, payloads.MaintenanceNow,
    payloads.AlarmNow, payloads.DeviceAlarmNow, payloads.LineMinute, payloads.LineFrame, payloads.LineNow,
    payloads.DeviceNow, payloads.Request, payloads.Gap, payloads.Shelved,
    payloads.StopNow, payloads.InterlockNow, payloads.AlarmLimitNow, payloads.State,
    payloads.ConsoleSeen, payloads.StorageNow, payloads.SpaceNow, payloads.SounderNow, payloads.AnchorNow,
    payloads.ReloadNow, PortNow, payloads.ProbeNow, payloads.DriverNow, payloads.CardNow,
    payloads.Bounds, payloads.ProtocolNow, payloads.Status, Problem, model.DeviceAlarm, *events.KIND_OF,
)
_PLAIN = {str: "string", int: "number", float: "number", bool: "boolean", types.NoneType: "null", Any: "unknown"}
_WORD_OF = {frozenset(get_args(literal)): name for name, literal in WORDS.items()}


def text() -> str:
    """The whole file."""
    statement = f"export const STATEMENT = {_json(model.STATEMENT)};"
    parts = [HEAD, "/** What Vigil is, wherever that is stated. */", statement, "",
             *(f"export type {name} = {_literals(literal)};" for name, literal in WORDS.items()), "",
             *(_interface(struct) for struct in STRUCTS), _events(), _verbs(), _accounts(),
             _symptoms(), _attestations(), _metrics(),
             _sound()]
    return "\n".join(parts)


def _literals(literal: Any) -> str:
    return " | ".join(json.dumps(value) for value in get_args(literal))


def _type(hint: Any) -> str:
    """A Python annotation as a TypeScript type. Raises KeyError for one the contract has no use for."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type(args[0])
    if origin is Literal:
        return _WORD_OF.get(frozenset(args)) or _literals(hint)
    if origin in (Union, types.UnionType):
        return " | ".join(_type(arg) for arg in args if arg is not msgspec.UnsetType)
    if origin is dict:
        return f"Record<string, {_type(args[1])}>"
    if origin in (list, tuple):
        inner = _type(args[0])
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        assert hint in STRUCTS, f"{hint.__name__} crosses to the page: add it to STRUCTS"
        return hint.__name__
    return _PLAIN[hint]


def _doc(struct: type[msgspec.Struct]) -> str:
    return f"/** {' '.join((struct.__doc__ or '').split())} */"


def _interface(struct: type[msgspec.Struct]) -> str:
    """A struct as an interface; only what may be left out on the wire is optional."""
    hints = get_type_hints(struct, include_extras=True)
    config = struct.__struct_config__
    lines = [_doc(struct), f"export interface {struct.__name__} {{"]
    if config.tag is not None:
        lines.append(f"  {config.tag_field}: {json.dumps(config.tag)};")
    for field in msgspec.structs.fields(struct):
        left_out = field.default is msgspec.UNSET or (config.omit_defaults and not field.required)
        lines.append(f"  {field.encode_name}{'?' if left_out else ''}: {_type(hints[field.name])};")
    return "\n".join([*lines, "}", ""])


def _events() -> str:
    """An event with the body of its kind, told apart by `kind`."""
    hints = get_type_hints(payloads.EventOut, include_extras=True)
    fields = [field for field in msgspec.structs.fields(payloads.EventOut) if field.name not in ("kind", "body")]
    bodies = [f"  {kind}: {' | '.join(body.__name__ for body in of)};" for kind, of in events.BODIES.items()]
    return "\n".join([
        "/** The bodies an event of each kind may have. */", "export interface EventBodies {", *bodies, "}", "",
        _doc(payloads.EventOut), "export interface EventOf<K extends EventKind> {", "  kind: K;",
        "  body: EventBodies[K];", *(f"  {field.encode_name}: {_type(hints[field.name])};" for field in fields), "}",
        "export type EdgeEvent = { [K in EventKind]: EventOf<K> }[EventKind];", ""])


def _verbs() -> str:
    """Every verb with who may ask it and what it takes. `unless`: needed, but where this other is given."""
    verbs: list[str] = []
    asks = {verb: [each for each in arguments(verb) if each.by == "person" and each.name not in KNOWN]
            for verb in VERBS}
    often = Counter(_json(_argument(each)) for takes in asks.values() for each in takes)
    shared = {told: _name_of(told) for told, times in often.items() if times > 2}  # each stands in the page once
    for verb, asked in VERBS.items():
        takes = [f"    {each.name}: {shared.get(told := _json(_argument(each)), told)}," for each in asks[verb]]
        roles = "CARERS" if asked.roles == NURSE else _json(sorted(asked.roles))
        verbs += [f"  {verb}: {{ roles: {roles}, args: {{", *takes, "  } },"]
    return "\n".join([
        "/** What a form needs to ask for an argument; `min` and `max` are allowed, outside `usual` asks once more. */",
        "export interface Argument { // no `type`: text",
        '  label: string; type?: "number" | "whole" | "words" | "flag"; optional?: boolean;',
        "  min?: number; max?: number; max_length?: number; unit?: string;",
        "  presets?: readonly number[]; usual_min?: number; usual_max?: number; unless?: string;",
        "  choices?: readonly string[];", "}", "",
        f"export const CARERS = {_json(sorted(NURSE))} as const;",
        *(f"const {name} = {told} as const;" for told, name in shared.items()), "export const VERBS = {", *verbs,
        "} as const satisfies Record<string, { roles: readonly Role[]; args: Record<string, Argument> }>;",
        "export type Verb = keyof typeof VERBS;", "",
        "/** Of the name that comes with start_session and stays in the console. */",
        f"export const MAX_PATIENT_NAME = {MAX_PATIENT_NAME};", ""])


def _name_of(told: str) -> str:
    """Of an argument that several verbs take."""
    argument = json.loads(told)
    return str(argument["label"]).upper() + ("_IF_ANY" if argument.get("optional") else "")


def _argument(argument: Argument) -> dict[str, Any]:
    said = {"label": argument.label, "type": None if argument.type == "text" else argument.type,
            "optional": argument.optional or None, "min": argument.least, "max": argument.most,
            "max_length": argument.max_length, "unit": argument.unit,
            "presets": argument.presets, "usual_min": argument.usual_min, "usual_max": argument.usual_max,
            "unless": argument.unless, "choices": argument.choices}
    return {name: value for name, value in said.items() if value not in (None, "", ())}


def _accounts() -> str:
    """Roles, and what an account must be."""
    return "\n".join([
        f"export const ROLES: readonly Role[] = {_json(accounts.ROLES)};",
        "/** Who manages accounts, and sees and does nothing clinical. */",
        f"export const ADMINISTRATOR: Role = {_json(accounts.ADMINISTRATOR)};",
        "/** What a name and a password must be, characters. */",
        f"export const ACCOUNT = {{ name_max: {accounts.MAX_NAME}, password_min: {accounts.MIN_PASSWORD},"
        f" password_max: {accounts.MAX_PASSWORD} }} as const;", ""])


def _symptoms() -> str:
    """The symptoms that rules know, for the check-in."""
    return "\n".join(["/** Symptoms that rules know, each in words; a check-in offers them. */",
                      f"export const SYMPTOMS: Readonly<Record<string, string>> = {_json(SYMPTOMS)};", ""])


def _sound() -> str:
    """The alarm tones, as the box has them."""
    bursts = ", ".join(f"{priority}: {_burst(burst)}" for priority, burst in BURSTS.items())
    return "\n".join([
        "/** The alarm tones of IEC 60601-1-8: times in seconds from the burst's start. */",
        "export interface Pulse { start_s: number; duration_s: number; rise_s: number; fall_s: number; gain: number }",
        "export interface Burst { pulses: readonly Pulse[]; length_s: number; silence_s: number }",
        "const pulse = (start_s: number, duration_s: number, rise_s: number, fall_s: number, gain: number): Pulse =>"
        " ({ start_s, duration_s, rise_s, fall_s, gain });",
        f"export const FUNDAMENTAL_HZ = {FUNDAMENTAL_HZ};",
        f"export const HARMONICS: readonly number[] = {_json(HARMONICS)};",
        f'export const BURSTS: Readonly<Record<"low" | "medium" | "high", Burst>> = {{ {bursts} }};',
        "/** No alarm: played once. */", f"export const INFORMATION: Burst = {_burst(INFORMATION)};",
        ""])


def _burst(burst: Burst) -> str:
    pulses = ", ".join(f"pulse({', '.join(map(_json, dataclasses.astuple(one)))})" for one in burst.pulses)
    return f"{{ pulses: [{pulses}], length_s: {_json(burst.length_s)}, silence_s: {_json(burst.silence_s)} }}"


def _attestations() -> str:
    """What a nurse may attest, in words."""
    return "\n".join(["/** What a nurse may attest, each in words. */",
                      f"export const ATTESTATIONS: Readonly<Record<string, string>> = {_json(ATTESTATIONS)};", ""])


def _metrics() -> str:
    """The vocabulary in the order of a page."""
    rows = [{name: value for name, value in (
        ("key", metric.key), ("label", metric.label), ("short", metric.abbreviated), ("unit", metric.unit),
        ("decimals", metric.decimals),
        ("group", metric.group), ("always", metric.always)) if value} for metric in METRICS.values()]
    scales = list(dict.fromkeys(metric.trend for metric in METRICS.values() if metric.trend))
    trends = [f", trend: SCALES[{scales.index(metric.trend)}]" if metric.trend else "" for metric in METRICS.values()]
    return "\n".join([
        "/** Metrics of one axis share a scale, `low` to `high`. */",
        "export interface TrendScale { axis: string; low: number; high: number }", "",
        "/** How a metric is labelled and laid out. `short`: so on the ward. `always`: also before it was measured. */",
        "export interface Metric {", "  key: string; label: string; short?: string; unit: string; decimals?: number;",
        '  group: "vital" | "pressure" | "pump" | "none"; always?: boolean; trend?: TrendScale;',
        "}", "", f"const SCALES = {_json([dataclasses.asdict(scale) for scale in scales])} as const;",
        "export const METRIC_ROWS: readonly Metric[] = [",
        *(f"  {_json(row)[:-1]}{trend}}}," for row, trend in zip(rows, trends, strict=True)), "];", ""])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    FILE.write_text(text())
