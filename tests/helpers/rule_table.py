"""What each default rule is beside its conditions, drawn by hand: a rules.toml that differs is another set of rules.

    rule | priority | what it may rise to | what latches: the picture, or picture and sound | group and tier | hold, s |
    clear, s | class | where | of what device
"""

from __future__ import annotations

from collections.abc import Iterable

from edge.core.rule import Rule

CONTEXTS = {
    "*": "always",
    "DISCHARGE_READY DISSOCIATION INFUSING PAUSED RECOVERY": "course",
    "DISCHARGE_READY DISSOCIATION INFUSING PAUSED PRECHECK READY RECOVERY": "session",
    "INFUSING PAUSED": "infusion",
    "DISCHARGE_READY RECOVERY": "after",
    "INFUSING PAUSED PRECHECK READY": "to the end",
    "DISSOCIATION INFUSING PAUSED": "risk",
    "DISSOCIATION": "period",
    "INFUSING RECOVERY": "by hand",
}
TABLE = """
HTN-R  | none   | -              | -     | -          | 0   | 0  | request | course     | -
HTN-1  | low    | -              | -     | HTN.1      | 0   | 0  | phys    | course     | -
HTN-2  | medium | -              | latch | HTN.2      | 0   | 0  | phys    | course     | -
HTN-3  | high   | -              | latch | HTN.3      | 0   | 0  | phys    | always     | -
HTN-4  | high   | -              | sound | HTN.4      | 0   | 0  | phys    | always     | -
RES-2  | medium | -              | -     | RES.2      | 15  | 10 | phys    | always     | -
RES-3  | high   | -              | latch | RES.3      | 10  | 10 | phys    | always     | -
HTN-5  | low    | -              | -     | -          | 0   | 0  | phys    | after      | -
CAR-1  | medium | -              | -     | CAR-FAST.1 | 30  | 10 | phys    | always     | -
CAR-2  | high   | -              | latch | CAR-FAST.2 | 15  | 0  | phys    | always     | -
CAR-3  | medium | -              | -     | CAR-SLOW.1 | 15  | 0  | phys    | always     | -
CAR-4  | high   | -              | latch | CAR-SLOW.2 | 10  | 0  | phys    | always     | -
CAR-5  | medium | high           | -     | -          | 0   | 0  | phys    | always     | -
RES-1  | low    | -              | -     | RES.1      | 60  | 15 | phys    | always     | -
RES-4  | medium | -              | -     | RESP.1     | 30  | 0  | phys    | course     | -
RES-5  | high   | -              | latch | RESP.2     | 20  | 0  | phys    | course     | -
INF-1  | medium | high           | latch | -          | 10  | 0  | tech    | infusion   | -
INF-2  | high   | -              | sound | -          | 10  | 0  | tech    | infusion   | -
INF-3  | medium | -              | -     | -          | 120 | 0  | tech    | infusion   | -
INF-4  | medium | -              | -     | -          | 0   | 0  | tech    | always     | pump own
INF-5  | high   | -              | sound | -          | 0   | 0  | tech    | infusion   | -
INF-6  | medium | high           | latch | -          | 0   | 0  | tech    | infusion   | -
TEC-4  | low    | medium at risk | -     | -          | 10  | 5  | tech    | always     | nibp oximeter monitor
TEC-1  | low    | medium at risk | -     | -          | 0   | 5  | tech    | session    | oximeter monitor
TEC-2  | medium | -              | -     | -          | 0   | 0  | tech    | session    | nibp monitor
TEC-3  | low    | medium at risk | -     | -          | 10  | 5  | tech    | always     | pump
TEC-10 | low    | medium at risk | -     | -          | 0   | 0  | tech    | session    | pump nibp oximeter monitor bed
PRO-1  | low    | medium         | -     | -          | 0   | 0  | tech    | course     | nibp monitor bed
PRO-9  | low    | medium         | -     | -          | 0   | 0  | tech    | course     | -
PRO-3  | medium | -              | latch | -          | 5   | 0  | tech    | to the end | -
PRO-5  | medium | -              | latch | -          | 0   | 0  | tech    | by hand    | -
PRO-6  | medium | -              | latch | -          | 5   | 0  | tech    | session    | -
PRO-8  | medium | -              | -     | -          | 30  | 0  | tech    | to the end | -
PRO-7  | medium | -              | -     | -          | 3   | 0  | tech    | session    | pump
TEC-9  | low    | -              | -     | -          | 0   | 0  | tech    | always     | nibp own
TEC-5  | low    | medium         | -     | -          | 0   | 0  | tech    | always     | -
TEC-6  | low    | medium         | -     | -          | 0   | 0  | tech    | session    | own
TEC-11 | medium | -              | -     | -          | 0   | 0  | tech    | always     | -
TEC-12 | medium | -              | latch | -          | 0   | 0  | tech    | always     | -
TEC-8  | low    | medium         | -     | -          | 0   | 0  | tech    | risk       | oximeter monitor
TEC-14 | high   | -              | -     | -          | 0   | 0  | tech    | always     | -
TEC-7  | medium | -              | sound | -          | 0   | 0  | tech    | session    | -
TEC-13 | low    | -              | -     | -          | 30  | 30 | tech    | always     | -
SYM-1  | high   | -              | latch | -          | 0   | 0  | phys    | always     | -
SED-1  | medium | -              | latch | SED.1      | 0   | 0  | phys    | course     | -
SED-2  | high   | -              | latch | SED.2      | 0   | 0  | phys    | always     | -
DIS-3  | medium | -              | latch | -          | 0   | 0  | phys    | course     | -
DIS-4  | low    | medium         | -     | -          | 0   | 0  | phys    | course     | -
DIS-5  | low    | medium         | -     | -          | 0   | 0  | phys    | after      | -
DIS-6  | medium | -              | -     | -          | 0   | 0  | tech    | period     | -
"""


def row(rule: Rule) -> str:
    """One line of the table."""
    raised = "/".join(f"{one.priority} at {_where(one.context)}" if "*" not in one.context else one.priority
                      for one in rule.escalations)
    of = " ".join((*rule.for_each, *(["bed"] if rule.for_bed else []), *(["own"] if rule.device_priority else [])))
    cells = (rule.id, rule.priority, raised or "-", "sound" if rule.latch_sound else "latch" if rule.latch else "-",
             f"{rule.group}.{rule.tier}" if rule.group else "-", f"{rule.hold_s:g}", f"{rule.clear_hold_s:g}",
             "request" if rule.request else rule.alarm_class[:4], _where(rule.context), of or "-")
    return " | ".join(cells)


def _where(context: Iterable[str]) -> str:
    names = " ".join(sorted(context))
    return CONTEXTS.get(names, names)


def differences(rules: Iterable[Rule]) -> list[str]:
    """The lines that are in the table or in the rules, and not in both."""
    drawn = {" | ".join(cell.strip() for cell in line.split("|")) for line in TABLE.strip().splitlines()}
    return sorted(drawn ^ {row(rule) for rule in rules})
