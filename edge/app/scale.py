"""How far a driver has come, bronze to platinum, computed from files and never typed: those of this repository, and the
acceptance reports of the clinic's own devices.

After Home Assistant's integration quality scale: each level is a list of criteria, a level counts where those below it
do. What only running can show is measured by `python -m tests.helpers.measure` and lies in tests/measured/NAME.json,
with the digest of the sources it was measured on: a driver that was changed since has to be measured again, and its
device to be checked again.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

import drivers
from drivers.contract import Agreement, Spec
from edge.field.acceptance import REPORT

LEVELS = ("bronze", "silver", "gold", "platinum")
ROOT = Path(drivers.__file__).parent.parent
IMPURE = ("asyncio", "time", "socket", "serial", "threading", "datetime")
KEPT_SHARE = 0.85  # of the readings, where one transmission in ten is late
NOTICED_S, LIVE_AGAIN_S = 2.0, 3.0  # beyond the line's own silence, and its quiet
CARD = ("Line", "Cable", "Menu", "Known limits")  # what a wiring card says, each at the beginning of a line
CARD_LENGTH = 10  # characters: less says nothing
SOAK_S = 72 * 3600.0
DOCUMENTS = 2  # of makers
LIMITS = re.compile(r"Known limits: (.+)", re.DOTALL)  # their place in a wiring card
LIMITS_LENGTH = 40  # characters: less says nothing


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing a level asks for; `why` says what is missing, empty where it is met."""

    level: str
    name: str
    why: str = ""

    @property
    def met(self) -> bool:
        """Whether it is so."""
        return not self.why


@dataclass(frozen=True, slots=True)
class Scale:
    """Where one driver stands."""

    criteria: tuple[Criterion, ...]

    @property
    def level(self) -> str:
        """The highest level of which, and below which, every criterion is met; "none" where bronze is not."""
        reached = "none"
        for level in LEVELS:
            if not all(one.met for one in self.criteria if one.level == level):
                break
            reached = level
        return reached


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What counts of an acceptance report (edge.field.acceptance.REPORT); `sources`: digest of the driver it was made
    with."""

    driver: str
    sources: str
    simulated: bool
    began: str
    seconds: float
    fit: bool
    faults: list[str]
    identity: str | None
    back_s: float | None
    counters: dict[str, float]
    frames: list[Any]

    def objection(self, sources: str) -> str:
        """Why it says nothing of a real device and the driver of these `sources`; "" where it does."""
        if self.simulated:
            return "it is of a program on the same machine, no device"
        if not self.fit or self.faults:
            return "the link was not fit"
        if not self.frames or self.counters.get("frames", 0) <= 0:
            return "no frame came"
        return "" if self.sources == sources else "the driver was changed since: check it again"


def read_report(path: Path) -> Kept | None:
    """The acceptance report in this file; None where it is no whole one."""
    try:
        told = json.loads(path.read_text())
        return msgspec.convert(told, Kept) if told.keys() >= set(REPORT) else None
    except (OSError, ValueError, AttributeError):
        return None


def reports_in(folder: Path, driver: str) -> list[tuple[Path, Kept]]:
    """The whole acceptance reports of this driver there, as `vigil check --reports` writes them, with their files."""
    found = [(path, read_report(path)) for path in sorted(folder.glob("*.json"))]
    return [(path, kept) for path, kept in found if kept is not None and kept.driver == driver]


class Evidence:
    """What the files under `root`, and the reports in the folder `accepted`, say of one driver."""

    def __init__(self, spec: Spec, root: Path, accepted: Path | None = None) -> None:
        self.spec, self._root = spec, root
        self._folders = [root / "tests" / "acceptance", *([accepted] if accepted is not None else [])]
        self.sources = [path for room in ("drivers", "simulators") for path in self._of(room)]

    def _of(self, room: str) -> Iterator[Path]:
        base, name = self._root / room, self.spec.name
        for path in (base / f"{name}.py", base / f"{name}.toml", *sorted((base / name).glob("*.py"))):
            if path.is_file():
                yield path

    @property
    def digest(self) -> str:
        """Of the driver's and the twin's sources."""
        return _digest(self.sources)

    @property
    def driver_digest(self) -> str:
        """Of the driver's sources alone."""
        return _digest(self._of("drivers"))

    def impure(self) -> list[str]:
        """What of the world the driver's source imports."""
        found = []
        for path in self._of("drivers"):
            for node in ast.walk(ast.parse(path.read_text())) if path.suffix == ".py" else ():
                names = [one.name for one in node.names] if isinstance(node, ast.Import) else (
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else [])
                found += [name for name in names if name.split(".")[0] in IMPURE]
        return found

    def golden(self, way: str) -> list[str]:
        """The rows of the golden table that begin so."""
        path = self._root / "tests" / "golden" / f"{self.spec.name}.txt"
        return [line for line in path.read_text().splitlines() if line.startswith(way)] if path.is_file() else []

    def measured(self) -> Mapping[str, Any]:
        """What was measured on these very sources; empty where nothing was."""
        path = self._root / "tests" / "measured" / f"{self.spec.name}.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        return found if found.get("sources") == self.digest else {}

    def reports(self) -> list[tuple[Path, Kept]]:
        """The acceptance reports of its devices."""
        return [one for folder in self._folders for one in reports_in(folder, self.spec.name)]

    def unsupported(self, agreement: Agreement) -> str:
        """Why this agreement is none: the golden table has no row of that origin from which something is decoded."""
        for row in self.golden("<"):
            cells = [cell.strip() for cell in row.split("|")]
            said = "|".join(cells[2:-2])
            if cells[-2] == agreement.whose and said.startswith("[{"):
                return ""
        return f"no frame in tests/golden/{self.spec.name}.txt of origin {agreement.whose!r} says anything"


def _digest(paths: Iterable[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def _bronze(found: Evidence) -> Iterator[tuple[str, str]]:
    impure = found.impure()
    yield "pure codec", f"imports {', '.join(impure)}" if impure else ""
    rows = found.golden("<")
    yield "golden frames", "" if rows else f"no frame in tests/golden/{found.spec.name}.txt"
    declared, listed = len(found.spec.requests), len(found.golden(">"))
    yield "every request listed with its effect", "" if declared == listed else f"{listed} rows for {declared} requests"
    twins = [path for path in found.sources if "simulators" in path.parts or path.suffix == ".toml"]
    yield "twin", "" if twins else f"no simulators/{found.spec.name}.py"


def _silver(found: Evidence) -> Iterator[tuple[str, str]]:
    told, line = found.measured(), found.spec.line
    stale = "" if told else "not measured on these sources: python -m tests.helpers.measure"
    wrong = [kind for kind, count in told.get("wrong", {}).items() if count]
    yield "no wrong value under any fault", stale or (f"wrong under {', '.join(wrong)}" if wrong else "")
    kept = told.get("kept_late", 0.0)
    yield "85 % kept at one in ten late", stale or ("" if kept >= KEPT_SHARE else f"{kept:.0%} kept")
    noticed, back = told.get("noticed_s", 0.0), told.get("live_again_s", 0.0)
    yield "silence noticed in time", stale or (
        "" if noticed <= line.silent_after_s + NOTICED_S else f"after {noticed:g} s")
    yield "live again in time", stale or (
        "" if back <= LIVE_AGAIN_S + line.lateness_s else f"after {back:g} s")
    logged = told.get("logged", 0)
    yield "unavailable logged once", stale or ("" if logged == 1 else f"{logged} times")


def _gold(found: Evidence) -> Iterator[tuple[str, str]]:
    wiring, told = found.spec.wiring, found.measured()
    lacks = [name for name in CARD if not re.search(rf"^{name}: .{{{CARD_LENGTH},}}", wiring, re.MULTILINE)]
    yield "wiring card", f"no line '{lacks[0]}: ...' in Spec.wiring" if lacks else ""
    limits = LIMITS.search(wiring)
    said = limits is not None and len(limits[1]) >= LIMITS_LENGTH
    yield "known limitations", "" if said else "no 'Known limits: ...' in Spec.wiring"
    unsupported = [why for why in map(found.unsupported, found.spec.agrees) if why]
    yield "a real capture or a second implementation agrees", (
        "; ".join(unsupported) if found.spec.agrees else "Spec.agrees names none")
    probe = told.get("probe", "not measured on these sources")
    yield "the probe recognises it, and takes no other for it", probe


def _platinum(found: Evidence) -> Iterator[tuple[str, str]]:
    documents = len(set(found.spec.documents))
    yield "two makers' documents", "" if documents >= DOCUMENTS else f"{documents} in Spec.documents"
    sources, reports = found.driver_digest, found.reports()
    counting = [kept for _, kept in reports if not kept.objection(sources)]
    pulled = [kept for kept in counting if kept.back_s is not None]
    why = [f"{path.name}: {kept.objection(sources) or 'its cable was not pulled (--pull)'}" for path, kept in reports]
    yield "acceptance report of a real device, its cable pulled and put back", "" if pulled else (
        "; ".join(why) or f"vigil check PORT --driver {found.spec.name} --pull --reports DIR")
    longest = max((kept.seconds for kept in counting), default=0.0)
    yield "72 h on a real device", "" if longest >= SOAK_S else (
        f"{longest / 3600:.3g} h; vigil check PORT --driver {found.spec.name} --minutes 4320 --reports DIR")


_OF_LEVEL: Mapping[str, Callable[[Evidence], Iterator[tuple[str, str]]]] = {
    "bronze": _bronze, "silver": _silver, "gold": _gold, "platinum": _platinum}


@cache
def scale_of(spec_name: str, root: Path = ROOT, accepted: Path | None = None) -> Scale:
    """Where the driver of this name stands; `accepted` is a folder of the clinic's acceptance reports. Raises KeyError
    for a driver that is not of this repository."""
    found = Evidence(drivers.find()[spec_name], root, accepted)
    return Scale(tuple(Criterion(level, name, why) for level, ask in _OF_LEVEL.items() for name, why in ask(found)))
