"""What can happen in a story: `VERBS`, each with its forms, and METRIC VALUE for every metric of the vocabulary."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from math import inf
from typing import get_args

from edge.core.story_bed import Pressure, Shown, StoryBed, device_of
from edge.model import (
    ClockSkewed,
    DeviceAlarm,
    DeviceAlarmsReported,
    HeardChanged,
    LinkState,
    PumpState,
    RecordDamaged,
    StorageChanged,
    Undelivered,
    WatchPaused,
)
from edge.vocabulary import DETERMINATION, METRICS

NUMBER = r"-?\d+(?:\.\d+)?"
METRIC = {  # by key, and by key without its unit
    re.sub(r"_(pct|bpm|mmhg|c|ml_h|ml|s)$", "", key): key for key in METRICS if key not in DETERMINATION
}
METRIC |= {key: key for key in METRICS if key not in DETERMINATION}


class Unreadable(Exception):
    """Words that are no part of the language; says what to write instead."""


def number(word: str, what: str) -> float:
    """`word` as a number. Raises Unreadable, which names `what`."""
    if not re.fullmatch(NUMBER, word):
        raise Unreadable(f"{what} is a number, not {word!r}")
    return float(word)


def pressure(word: str) -> Pressure:
    """`word`, S/D or S/D/MEAN in mmHg, as a blood pressure; S and D may be overflow or underflow. Raises Unreadable."""
    found = f"({NUMBER}|overflow|underflow)"
    if not re.fullmatch(rf"{found}/{found}(/{NUMBER})?", word):
        raise Unreadable(f"a blood pressure is S/D or S/D/MEAN, not {word!r}")
    beyond = {"overflow": inf, "underflow": -inf}
    return Pressure(*(beyond[part] if part in beyond else float(part) for part in word.split("/")))


def show_metric(bed: StoryBed, key: str, rest: list[str]) -> None:
    """METRIC VALUE [for 20s], or what else may be said of a metric."""
    match rest:
        case ["none", reason]:
            bed.shown[key] = Shown(None, "invalid", reason)
        case ["overflow" | "underflow" as validity]:
            bed.shown[key] = Shown(None, validity, "out_of_range")
        case ["questionable", value]:
            bed.shown[key] = Shown(number(value, key), "questionable", "artifact")
        case ["silent"] if key == "spo2_pct":  # the oximeter says nothing at all
            bed.shown = {metric: one for metric, one in bed.shown.items() if device_of(metric) != "oximeter"}
        case ["silent"]:
            bed.shown.pop(key, None)
        case [value, *more]:
            shown = number(value, key)
            if key == "volume_infused_ml":
                bed.volume_ml, bed.dose_ml = shown, None
            elif key == "rate_ml_h":
                bed.rate_ml_h = shown
                bed.shown.pop(key, None)
            else:
                bed.shown[key] = Shown(shown)
            _for(bed, more)
        case _:
            raise Unreadable(f"write {key} VALUE [for 20s], {key} none REASON, {key} questionable VALUE, "
                             f"{key} overflow, {key} underflow or {key} silent")


def _for(bed: StoryBed, more: list[str]) -> None:
    match = re.fullmatch(r"(?:for (\d+)s)?", " ".join(more))
    if match is None:
        raise Unreadable(f"write 'for 20s', not {' '.join(more)!r}")
    for _ in range(int(match[1] or 1) - 1):
        bed.go_on()
        bed.at_s += 1.0


def _bp(bed: StoryBed, rest: list[str]) -> None:
    match rest:
        case ["failed", reason]:
            bed.pressure = None
            bed.measure(None, reason)
        case ["off"]:
            bed.pressure = None
        case ["auto", value]:
            bed.pressure, bed.cuff_at_s = pressure(value), bed.at_s
            bed.measure(bed.pressure)
        case [value]:
            bed.pressure = None
            bed.measure(pressure(value))
        case _:
            raise Unreadable(f"write {VERBS['bp'][0]}")


def _second(bed: StoryBed, rest: list[str]) -> None:
    match rest:
        case ["bp", value] if "cuff-2" in bed.links:
            bed.measure(pressure(value), by="cuff-2")
        case ["spo2", value] if "oximeter-2" in bed.links:
            bed.second_spo2_pct = number(value, "spo2")
        case ["pump", "infusing", value] if "pump-2" in bed.links:
            bed.second_pump, bed.second_rate_ml_h = "infusing", number(value, "a rate")
        case ["pump", "stopped"] if "pump-2" in bed.links:
            bed.second_pump = "stopped"
        case ["volume", value] if "pump-2" in bed.links:
            bed.second_ml = number(value, "a volume")
        case _:
            raise Unreadable(f"write {VERBS['second'][0]}")


def _link(bed: StoryBed, rest: list[str]) -> None:
    if len(rest) != 2 or rest[0] not in bed.links or rest[1] not in get_args(LinkState):
        raise Unreadable(f"write {VERBS['link'][0]}")
    bed.link(rest[0], next(state for state in get_args(LinkState) if state == rest[1]))


def _pump(bed: StoryBed, rest: list[str]) -> None:
    match rest:
        case ["silent" | "mum" as how]:
            bed.pump, bed.is_mum, bed.dose_ml = None, how == "mum", None
        case [state] if state in get_args(PumpState):
            bed.pump, bed.dose_ml = next(one for one in get_args(PumpState) if one == state), None
        case _:
            raise Unreadable(f"write {VERBS['pump'][0]}")


def _alarm(bed: StoryBed, rest: list[str]) -> None:
    match rest:
        case [device, "none"] if device in bed.links:
            bed.give(DeviceAlarmsReported(device, ()))
        case [device, *words] if device in bed.links and words and len(words) % 2 == 0:
            bed.give(DeviceAlarmsReported(device, tuple(map(_device_alarm, words[::2], words[1::2]))))
        case _:
            raise Unreadable(f"write {VERBS['alarm'][0]}")


def _device_alarm(code: str, priority: str) -> DeviceAlarm:
    match priority:
        case "high" | "medium" | "low":
            return DeviceAlarm(code, priority, code, code.replace("_", " "))
    raise Unreadable(f"an alarm of a device is high, medium or low, not {priority!r}")


def _ack(bed: StoryBed, rest: list[str]) -> None:
    named = (alarm for alarm in bed.alarms.values() if alarm.worst and [alarm.worst.rule] == rest)
    alarm = bed.alarms.get(rest[0]) if rest else None
    if alarm is None or not alarm.id:
        alarm = next(named, alarm)
    if alarm is None or not alarm.id:
        raise Unreadable(f"no alarm {' '.join(rest)} to acknowledge; write {VERBS['ack'][0]}")
    bed.command("acknowledge", {"alarm": alarm.id, "seq": alarm.seq})


def _check_in(bed: StoryBed, rest: list[str]) -> None:
    if rest in (["auto"], ["off"]):
        bed.checks_in, bed.check_in_at_s = rest == ["auto"], bed.at_s
        return
    args: dict[str, object] = {}
    symptoms: list[str] = []
    gone: list[str] = []
    for part in rest:
        name, equals, value = part.partition("=")
        if name == "symptom" and value:
            symptoms.append(value)
        elif name == "gone" and value:
            gone.append(value)
        elif equals and value.isdigit():
            args[name] = int(value)
        else:
            raise Unreadable(f"write {VERBS['check-in'][0]}, not {part!r}")
    bed.checks_in = False
    bed.command("check_in", args | ({"symptoms": symptoms} if symptoms else {}) | ({"gone": gone} if gone else {}))


def _checklist(bed: StoryBed, rest: list[str]) -> None:
    if rest not in (["done"], ["open"]):
        raise Unreadable(f"write {VERBS['checklist'][0]}")
    bed.command("checklist", {"done": rest == ["done"]})


def _dose(bed: StoryBed, rest: list[str]) -> None:
    said, _, reason = " ".join(rest).partition(" because ")
    match = re.fullmatch(r"(\d)( lot \S+)*( (\d+)min ago)?", said)
    if match is None:
        raise Unreadable(f"write {VERBS['dose'][0]}")
    lots = [word for before, word in pairwise(said.split()) if before == "lot"]
    ago = {"minutes_ago": float(match[4])} if match[4] else {}
    why = {"reason": reason} if reason else {}
    bed.command("give_dose", {"devices": int(match[1]), **({"lots": lots} if lots else {}), **ago, **why})


def _attest(bed: StoryBed, rest: list[str]) -> None:
    match rest:
        case [what, "yes" | "no" as said]:
            bed.attests = False
            bed.command("attest", {"what": what, "so": said == "yes"})
        case _:
            raise Unreadable(f"write {VERBS['attest'][0]}")


def _override(bed: StoryBed, rest: list[str]) -> None:
    match rest:
        case [gate, "nurse" | "prescriber" as role, *why] if why:
            bed.command("override_gate", {"gate": gate, "reason": " ".join(why)}, role=role)
        case _:
            raise Unreadable(f"write {VERBS['override'][0]}")


def _amend(bed: StoryBed, rest: list[str]) -> None:
    match = re.fullmatch(rf"(\w+) ({NUMBER}) (.+)", " ".join(rest))
    if match is None:
        raise Unreadable(f"write {VERBS['amend'][0]}")
    bed.command("amend_order", {match[1]: float(match[2]), "prescriber": "Dr Hall", "reason": match[3]})


def _rebaseline(bed: StoryBed, rest: list[str]) -> None:
    bed.command("rebaseline", {"reason": " ".join(rest)})


def _device(bed: StoryBed, rest: list[str]) -> None:
    match rest:
        case [name, "off", minutes, *why] if minutes.endswith("min") and why:
            bed.command("device_off", {"device": name, "minutes": number(minutes.removesuffix("min"), "minutes"),
                                       "reason": " ".join(why)})
        case [name, "back"]:
            bed.command("device_back", {"device": name})
        case _:
            raise Unreadable(f"write {VERBS['device'][0]}")


def _measure(bed: StoryBed, _: list[str]) -> None:
    bed.command("measure_bp", {})


def _dissociation(bed: StoryBed, rest: list[str]) -> None:
    match rest:
        case ["begun" | "over" as which, *why]:
            bed.command("dissociation", {"begun": which == "begun", "reason": " ".join(why)})
        case _:
            raise Unreadable(f"write {VERBS['dissociation'][0]}")


def _drug_channel(bed: StoryBed, rest: list[str]) -> None:
    match rest:
        case [name, *why]:
            bed.command("drug_channel", {"device": name} | ({"reason": " ".join(why)} if why else {}))
        case _:
            raise Unreadable(f"write {VERBS['drug-channel'][0]}")


def _open_session(bed: StoryBed, rest: list[str]) -> None:
    order = {"session": f"story-session-{bed.seq}", "weight_kg": 70, "dose_mg_kg": 0.5, "duration_min": 40,
             "concentration_mg_ml": 1}
    bed.command("start_session", order | ({"whose": " ".join(rest)} if rest else {}))


def _end(bed: StoryBed, rest: list[str]) -> None:
    bed.command("end_infusion", {"reason": " ".join(rest)} if rest else {})


def _close(bed: StoryBed, rest: list[str]) -> None:
    why, _, whose = " ".join(rest).partition("whose:")
    bed.command("close_session", {name: words.strip() for name, words in (("reason", why), ("whose", whose))
                                  if words.strip()})


def _restart(bed: StoryBed, rest: list[str]) -> None:
    match = re.fullmatch(r"(\d+)s", " ".join(rest))
    if match is None:
        raise Unreadable(f"write {VERBS['restart'][0]}")
    bed.restart(float(match[1]))


def _storage(bed: StoryBed, rest: list[str]) -> None:
    match rest:
        case ["failing", *why]:
            bed.give(StorageChanged(" ".join(why) or "the disk is full"))
        case ["good"]:
            bed.give(StorageChanged(""))
        case _:
            raise Unreadable(f"write {VERBS['storage'][0]}")


def _unheard(bed: StoryBed, rest: list[str]) -> None:
    why, _, names = " ".join(rest).partition(":")
    found = [alarm for name in names.split() if (alarm := bed.alarms.get(name)) is not None and alarm.body is not None]
    if len(found) != len(names.split()):
        raise Unreadable(f"no alarm {names.strip()} is known; write {VERBS['unheard'][0]}")
    bed.give(HeardChanged(why.strip() or "no console is there",
                          tuple(Undelivered(one.key, one.sound, one.body.text) for one in found if one.body), not why))


def _heard(bed: StoryBed, _: list[str]) -> None:
    bed.give(HeardChanged(""))


def _skew(bed: StoryBed, rest: list[str]) -> None:
    match rest:
        case [seconds]:
            bed.give(ClockSkewed(number(seconds, "a clock's difference in seconds"), "main"))
        case _:
            raise Unreadable(f"write {VERBS['skew'][0]}")


def _record(bed: StoryBed, rest: list[str]) -> None:
    if rest[:1] != ["damaged"]:
        raise Unreadable(f"write {VERBS['record'][0]}")
    bed.give(RecordDamaged(" ".join(rest[1:]) or "a checkpoint does not match"))


def _pause(bed: StoryBed, rest: list[str]) -> None:
    match = re.fullmatch(r"(\d+)s", " ".join(rest))
    if match is None:
        raise Unreadable(f"write {VERBS['pause'][0]}")
    bed.at_s += float(match[1])
    bed.give(WatchPaused(float(match[1]), "slept"))


VERBS: dict[str, tuple[str, Callable[[StoryBed, list[str]], None]]] = {
    "bp": ("bp S/D[/MEAN], bp failed REASON, bp auto S/D (so at each interval) or bp off; S or D may be overflow or"
           " underflow", _bp),
    "second": ("second spo2 VALUE or second bp S/D (a second oximeter, a second cuff), in a story that is given two of"
               " each; second pump infusing ML_H, second pump stopped or second volume ML, given two pumps", _second),
    "dissociation": ("dissociation begun|over WHY (a nurse says so)", _dissociation),
    "measure": ("measure (a person asks for a blood pressure now)", _measure),
    "drug-channel": ("drug-channel NAME [WHY] (this one of the pumps gives the drug)", _drug_channel),
    "link": (f"link pump|cuff|oximeter {'|'.join(get_args(LinkState))}", _link),
    "pump": (f"pump {'|'.join(get_args(PumpState))}, pump silent (nothing at all) or pump mum (volume alone)", _pump),
    "alarm": ("alarm DEVICE CODE high|medium|low [CODE ...] or alarm DEVICE none", _alarm),
    "ack": ("ack RULE[:device]", _ack),
    "check-in": ("check-in moaas=5 cadss=2 anxiety=1 distress=1 nausea=0 symptom=WORD gone=WORD, check-in auto or"
                 " check-in off", _check_in),
    "checklist": ("checklist done|open", _checklist),
    "attest": ("attest WHAT yes|no", _attest),
    "override": ("override GATE nurse|prescriber WHY", _override),
    "amend": ("amend dose_mg_kg|duration_min|... VALUE WHY", _amend),
    "rebaseline": ("rebaseline WHY", _rebaseline),
    "device": ("device NAME off 5min WHY or device NAME back (disconnected as planned)", _device),
    "dose": ("dose DEVICES [lot WORD ...] [5min ago] [because WHY] (given by hand)", _dose),
    "end-infusion": ("end-infusion [WHY]", _end),
    "close-session": ("close-session [WHY] [whose: WORDS]", _close),
    "open-session": ("open-session [WHOSE] (another one, by the first protocol)", _open_session),
    "storage": ("storage failing [WHY] or storage good", _storage),
    "unheard": ("unheard (no console is there) or unheard WHY (with one); each: RULE[:device] ... (what sounds)",
                _unheard),
    "heard": ("heard", _heard),
    "skew": ("skew SECONDS (so far a console's clock is ahead; below 0: behind)", _skew),
    "record": ("record damaged [WHAT]", _record),
    "pause": ("pause 120s (for so long the edge judges nothing)", _pause),
    "restart": ("restart 120s (for so long the edge is gone)", _restart),
}
