"""The topics: how each is written, and taken apart again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

ROOT = "vigil/1"


def status_topic(edge: str) -> str:
    """Birth, heartbeat and death: QoS 1, retained, last will."""
    return f"{ROOT}/{edge}/status"


def vitals_topic(edge: str, bed: str) -> str:
    """Latest numerics: QoS 0."""
    return f"{ROOT}/{edge}/bed/{bed}/vitals"


def wave_topic(edge: str, bed: str, name: str) -> str:
    """Waveform chunks: QoS 0."""
    return f"{ROOT}/{edge}/bed/{bed}/wave/{name}"


def state_topic(edge: str, bed: str) -> str:
    """Full state: QoS 1, retained."""
    return f"{ROOT}/{edge}/bed/{bed}/state"


def event_topic(edge: str) -> str:
    """Events by seq: QoS 1."""
    return f"{ROOT}/{edge}/event"


def ack_topic(edge: str, console: str) -> str:
    """What a console has stored: QoS 1. `+` as the console: all of them."""
    return f"{ROOT}/{edge}/ack/{console}"


def gone_topic(edge: str, console: str) -> str:
    """A console's last will: QoS 1. `+` as the console: all of them."""
    return f"{ROOT}/{edge}/gone/{console}"


def command_topic(edge: str) -> str:
    """Signed requests: QoS 1."""
    return f"{ROOT}/{edge}/command"


def answer_topic(edge: str, console: str) -> str:
    """Answers to one console's commands: QoS 1."""
    return f"{ROOT}/{edge}/answer/{console}"


TopicKind = Literal["status", "vitals", "wave", "state", "event", "ack", "gone", "command", "answer"]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic taken apart. `bed`: for vitals, wave, state. `name`: the wave's or, for ack, gone and answer, the
    console's."""

    kind: TopicKind
    edge: str
    bed: str | None = None
    name: str | None = None


_ID = r"[a-z0-9-]{1,32}"
_TOPIC = re.compile(
    rf"vigil/1/(?P<edge>{_ID})/(?:(?P<plain>status|event|command)"
    rf"|bed/(?P<bed>{_ID})/(?:(?P<of_bed>vitals|state)|(?P<wave>wave)/(?P<wave_name>[a-z0-9_-]{{1,32}}))"
    rf"|(?P<of_console>ack|gone|answer)/(?P<console>{_ID}))"
)


def parse_topic(topic: str) -> Topic | None:
    """The topic taken apart, or None where it is not one of ours."""
    match = _TOPIC.fullmatch(topic)
    if match is None:
        return None
    kind: Any = match["plain"] or match["of_bed"] or match["wave"] or match["of_console"]
    return Topic(kind, match["edge"], match["bed"], match["wave_name"] or match["console"])
