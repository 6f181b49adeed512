"""Who notices a mutant (`mutants.py`) of the rules, the protocols or a module of the core.

    python -m tests.helpers.mutate rules|protocols|MODULE...|core.MODULE...|core [--sample N] [--seed N] [--of ID]
        [--tests]

A mutant of rules or protocols is laid beside `rule_table.py` and `conditions.txt`, and any is told stories until one of
them does not come true. With `--tests` it is told the fast tests of the core instead (`warm.py`); what nobody notices
is printed. `core`: all modules; `core.rules` and `core.protocols` are modules, not the files. `EQUIVALENT` names those
that nobody could tell from what is written. `--of`: those of this rule or protocol alone. `--notes FILE` keeps which
test calls what, which takes two minutes to find out.
"""

from __future__ import annotations

import argparse
import gc
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import CodeType, FunctionType

from edge.core.alarms import family
from edge.core.protocols import ProtocolsError, parse_protocols
from edge.core.rules import RulesError, parse_rules
from edge.core.stories import StoryError, run_story, stories_of
from tests.helpers import conditions
from tests.helpers.cold import SAYS
from tests.helpers.conditions import of_protocols, of_rules, wrong
from tests.helpers.mutants import Mutant, changed_functions, of_file, of_module
from tests.helpers.rule_files import FILE, HERE, PROTOCOLS, RULES
from tests.helpers.rule_table import differences
from tests.helpers.warm import Warm, called, collected

EQUIVALENT = {
    "HTN-R: when: 110 -> 111 at 226": "from a diastolic of 110 HTN-2 stands, and then nobody is asked",
    "TEC-13: when: 60 -> 59 at 17": "of two saturations neither is older than 10 s",
    "TEC-13: when: 60 -> 61 at 17": "of two saturations neither is older than 10 s",
    "SED-1: clear: left out": "MOAA/S is a whole number: what is not at most 3 is at least 4",
    "iv_racemic_40: baseline_never: 90 -> 91 at 30": "a diastolic of 91 is none at any age: the end says so again",
    "iv_racemic_40: baseline_never: dbp_mmhg > 90 -> 1 < 0 at 19": "a diastolic of 91 is none at any age, as above",
    "attention: 1 -> 2 in :1": "each step comes later than the one before it",
    "attention: 1.0 -> 2.0 in at_s - 1.0": "announced now, nothing was due before",
    "attention: 0.0 -> 1.0 in alarm.reminded_s or 0.0": "both are in 1970",
    "bedside: 1 -> 2 in -1:": "nobody enters a pressure in the very millisecond in which a cuff has measured one",
    "code: > -> >= in times > 1": "how often a metric is looked up changes no answer",
    "code: > -> < in times > 1": "how often a metric is looked up changes no answer",
    "commands: and <-> or in args.sbp_mmhg is not None and args.dbp_mmhg is not None": "CheckIn takes both or neither",
    "channels: > -> >= in len(pumps) > 1": "one pump alone is the drug's, and where it is not, no other is",
    "code: 1 -> 2 in count(1)": "any names will do that are not the same",
    "context: 1 -> 2 in most_s - 1": "how soon it is rounded changes no answer",
    "context: > -> >= in age_s > most_s - 1": "how soon it is rounded changes no answer",
    "context: 0.0 -> 1.0 in default=0.0": "both are in 1970",
    "coverage: 0.0 -> 1.0 in last_s = 0.0": "both are in 1970, before any reading",
    "coverage: 1.0 -> 2.0 in default=1.0": "of what nothing is sampled, all is covered, and no more is asked for",
    "cuff: 0.0 -> 1.0 in sample.value or 0.0": "neither is the pressure of an inflated cuff",
    "code: 1 -> 2 in times > 1": "how often a metric is looked up changes no answer",
    "expression: 1 -> 2 in n=1": "only the first is said",
    "expression: 6 -> 7 in round((float(this.words) - 1) * 100, 6)": "no share is written so exactly",
    "fact: 1 -> 2 in -1:": "a fact of several metrics or rules takes nothing else",
    "gates: > -> >= in value > 0": "there the value is infinite",
    "gates: 0 -> 1 in value > 0": "there the value is infinite",
    "burden: and <-> or in event.bed is None or event.session is None": "what opens or ends a session has both",
    "dosing: 0.0 -> 1.0 in session.doses[-1].at_s if session.doses else 0.0": "both in 1970, before the session",
    "replay: > -> >= in event.seq > self.last_unjudged.seq": "no two events have one number",
    "schedule: 1 -> 2 in :1": "they rise: the first of two is the sooner",
    "starting: 0.0 -> 1.0 in ended_s[-most] + engine.cuff_most_of_s if len(ended_s) >= most else 0.0": "both in 1970",
    "oximetry: 1 -> 2 in -1:": "they rise: the last is the newest",
    "mistakes: 4000 -> 4001 in TRIED = 4000": "how many are tried is a matter of patience",
    "mistakes: < -> <= in other.tier < rule.tier": "no rule is more urgent than itself",
    "mistakes: 0.0 -> 1.0 in RuleContext(state, 0.0, readings=readings)": "readings that are given have no age",
    "mistakes: 0 -> 1 in can_be.least or 0": "it has a bound",
    "mistakes: 0 -> 1 in interval.least or 0": "it has a bound",
    "mistakes: 0 -> 1 in scores[score].most or 0": "it has a bound",
    "mistakes: 6 -> 7 in round(dose / by_hand['device_mg'], 6)": "no dose is written to a ten-millionth",
    "pk: 0 -> 1 in max(0, math.ceil(math.log2(norm / HALVINGS_TO)))": "halved once more it is the same to 15 digits",
    "pk: 1 -> 2 in ORDER + 1": "a term more of the series is below the last digit",
    "pk: 12 -> 13 in (12, 0.25)": "likewise",
    "pk: 0.25 -> 1.25 in (12, 0.25)": "twelve terms are enough for that: to nine digits",
    "protocols: 0 -> 1 in next((number for number, mine in enumerate(own) if mine is gate), 0)":
        "what is taken over was read without an error where it stands",
    "protocols: 0.0 -> 1.0 in ('check_in', 0.0)": "of a check-in the protocol's own time counts",
    "stories: 60 -> 61 in bed.at_s + 60": "a beginning that is kept a second later changes no story",
    "story_bed: 1800000000.0 -> 1800000001.0 in T0 = 1800000000.0": "any time will do",
    "levels: False -> True in latch=False": "what is not shown does not latch",
    "interlock_table: > -> >= in rule.tier > named.tier": "each tier of a group is one rule's, and the named one is in",
    "levels: > -> >= in top.tier > speaks.tier": "each tier of a group is one rule's: these are two",
    "sources: > -> >= in skew_s > 0": "without a skew nothing is said",
    "story_bed: 0 -> 1 in value > 0": "there the value is infinite",
    "story_bed: > -> >= in value > 0": "there the value is infinite",
    "story_bed: < -> <= in self.at_s < T0": "no story has anything due in the second in which it starts",
    "telling: > -> >= in value > 0": "there the value is infinite",
    "facts: 0.0 -> 1.0 in default=0.0": "both are in 1970",
    "facts: 0.0 -> 1.0 in device.since_s if device and device.link == 'live' and (not last_s) else 0.0": "both in 1970",
    "facts: 0.0 -> 1.0 in state.session.here_s if state.session else 0.0": "both are in 1970",
    "presence: 1 -> 2 in -1:": "they rise: the last is the newest",
    "rules: False -> True in (metrics, None, False)": "any key will do that no session has",
    "samples: < -> <= in names.index(sample.device) < names.index(latest.device)": "these are never one device",
    "state: 0.0 -> 1.0 in self.determinations[-1].at_s if self.determinations else 0.0": "both are in 1970",
    "state: 0.0 -> 1.0 in session.check_ins[-1].at_s if session.check_ins else 0.0": "both are in 1970",
    "telling: 0 -> 1 in value > 0": "there the value is infinite",
    "wording: 6 -> 7 in round(abs(number - 1) * 100, 6)": "no words are so exact",
    "wording: 6 -> 7 in round(number / 60, 6)": "no words are so exact",
    "watching: and <-> or in quiet or not one.always": "how much is asked where all is known changes no answer",
    "unwatched: > -> >= in end_s > from_s": "a stretch that ends where the window begins has no length in it",
}
DRAWN = list(conditions.rows(conditions.FILE.read_text()))
CONDITIONS = of_rules(RULES) | of_protocols(PROTOCOLS)


# --- who notices ------------------------------------------------------------------------------------------------------

Story = tuple[str, str]  # whose it is, and what it tells
WATCHING = {rule.id for rule in RULES if any(one.of_watching for one in rule.conditions.values())}


def stories() -> list[Story]:
    """All but those of whole sessions, which last hours; the short ones first."""
    paths = [*(HERE / "stories").glob("*.txt"), *(HERE / "stories" / "course").glob("*.txt")]
    found = [(path.stem, story) for path in sorted(paths) for story in stories_of(path.read_text())]
    return sorted(found, key=lambda one: _lasts_s(one[1]))


def whole() -> list[Story]:
    """Those of whole sessions."""
    return [(path.stem, story) for path in sorted((HERE / "stories" / "course" / "whole").glob("*.txt"))
            for story in stories_of(path.read_text())]


def _lasts_s(story: str) -> int:
    return max((int(minutes) for minutes in re.findall(r"^(\d+):", story, re.M)), default=0)


def of_rule(rule: str, known: Iterable[Story]) -> list[Story]:
    """The stories that a rule's mutant is told: its own, and then its family's; all of them for what is no rule's."""
    if rule == "[engine]":
        return list(known)
    return sorted((one for one in known if family(one[0]) == family(rule)), key=lambda one: one[0] != rule)


def survives_as_rules(mutant: Mutant, known: list[Story]) -> bool | None:
    """Whether every story comes true under these rules; None: the file is refused."""
    try:
        rules = parse_rules(mutant.text)
    except RulesError:
        return None
    return not differences(rules) and not _said_otherwise(of_rules(rules)) and _all_true(
        of_rule(mutant.of, known), lambda name, text: run_story(
            text, name, rules, name if name in WATCHING else None, PROTOCOLS), known)


def survives_as_protocols(mutant: Mutant, known: list[Story]) -> bool | None:
    """The same under these protocols."""
    try:
        protocols = parse_protocols(mutant.text)
    except ProtocolsError:
        return None
    return not _said_otherwise(of_protocols(protocols)) and _all_true(list(known), lambda name, text: run_story(
        text, name, RULES, name if name in WATCHING else None, protocols), known)


def _said_otherwise(now: dict[str, str]) -> list[str]:
    """Of the conditions that are others now: what the table says otherwise."""
    return wrong({of: text for of, text in now.items() if text != CONDITIONS.get(of)}, DRAWN)


def _all_true(known: list[Story], tell: Callable[[str, str], object], order: list[Story]) -> bool:
    """Whether all of `known` come true. The story that does not goes first in `order`: it often kills the next, too."""
    for one in known:
        if not _comes_true(one, tell):
            order.remove(one)
            order.insert(0, one)
            return False
    return True


def _comes_true(story: Story, tell: Callable[[str, str], object]) -> bool:
    try:
        tell(*story)
    except (StoryError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, AssertionError):
        return False
    return True


@cache
def _live() -> dict[CodeType, list[FunctionType]]:
    """The core's functions in this process, by their code. What one of them makes later comes from its code."""
    gc.unfreeze()  # what pytest's collection has frozen is not found otherwise
    found: dict[CodeType, list[FunctionType]] = {}
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and (one.__module__ or "").startswith("edge.core."):
            found.setdefault(one.__code__, []).append(one)
    gc.freeze()  # a copy of the process that collects garbage would copy all of it
    return found


def exchanged(mutant: Mutant) -> Iterator[tuple[FunctionType, CodeType]]:
    """The functions of this process that the mutant of a module changes, each with its new code."""
    for code, new in changed_functions(mutant).items():
        yield from ((one, new) for one in _live().get(code, ()))


def survives_as_module(mutant: Mutant, known: list[Story]) -> bool | None:
    """Whether every story comes true with this module's functions; None: the change is in none of them."""
    found = [(one, one.__code__, code) for one, code in exchanged(mutant)]
    if not found:
        return None
    for one, _, code in found:
        one.__code__ = code
    try:
        return _all_true(list(known), lambda name, text: run_story(
            text, name, RULES, name if name in WATCHING else None, PROTOCOLS), known)
    finally:
        for one, before, _ in found:
            one.__code__ = before


# --- the fast tests of the core ---------------------------------------------------------------------------------------

OF_THE_CORE = ("alarm_life", "asked", "attention", "bedside", "burden", "cohort", "conditions", "core_*", "coverage",
               "cuff", "entered", "evidence", "flood", "hold", "interlock", "ledger", "logic", "maintenance",
               "margins", "mistakes", "moving", "patient_limits", "pk", "protocols", "pulse", "restart_exact",
               "rule_words", "rules", "rules_explain", "schedules", "second_evaluator", "session_words", "shelf",
               "starting", "stories", "story_bed", "story_language", "story_verbs", "unwatched", "unwatched_monitor")
AT_IMPORT = ("asked", "code", "engine", "entered", "expression", "fact", "facts", "interlock_table", "ladder", "order",
             "patient_limits", "protocol", "protocols", "rule", "rules", "tables", "watching")  # work done by then


def files() -> list[Path]:
    """Of the fast tests of the core."""
    return [path for name in OF_THE_CORE for path in sorted(HERE.glob(f"test_{name}.py"))]


def told_as_module(mutant: Mutant, warm: Warm) -> str | None:
    """The test that notices this module; None: nobody does."""
    name = mutant.of.rpartition(".")[2]
    found = list(exchanged(mutant))

    def change() -> None:
        for one, code in found:
            one.__code__ = code

    tests = warm.of_function(called(name, one.__code__) for one, _ in found)
    who = warm.noticed_by(sorted(tests, key=lambda test: name not in test.nodeid), change) if found else None
    return who or (_told_cold(mutant, warm) if not found or name in AT_IMPORT else None)


def _told_cold(mutant: Mutant, warm: Warm) -> str | None:
    """The same in a new process, which imports the module as the mutant has it."""
    with TemporaryDirectory() as folder:
        source = Path(folder) / "source.py"
        source.write_text(mutant.text)
        done = subprocess.run(
            [sys.executable, "-m", "tests.helpers.cold", mutant.of, source, warm.notes_in, f"{warm.most_s:.0f}",
             *files()],
            cwd=HERE.parent, capture_output=True, text=True, check=False)
    found = re.search(f"^{SAYS}(.*)", done.stdout, re.M)
    has_had_its_time = done.returncode < 0 and not found
    return None if done.returncode == 0 or has_had_its_time else found[1] if found else "the import"


def told_as_rules(mutant: Mutant, warm: Warm) -> str | None:
    """The test that notices these rules, of those that name the rule or its family; None: nobody does. Raises
    RulesError where they are refused."""
    rules = parse_rules(mutant.text)
    word = re.compile(r"RULES|stor" if mutant.of == "[engine]" else
                      rf"\b{family(mutant.of)}-|\bdifferences\b|EVIDENCE|drawn")

    def change() -> None:
        for name in rules.__slots__:
            object.__setattr__(RULES, name, getattr(rules, name))
        _as_written(FILE, mutant.text)

    return warm.noticed_by(warm.that_mention(word), change)


def told_as_protocols(mutant: Mutant, warm: Warm) -> str | None:
    """The same of protocols, and of all tests. Raises ProtocolsError."""
    protocols = parse_protocols(mutant.text)

    def change() -> None:
        PROTOCOLS.by_id.clear()  # type: ignore[attr-defined]  # the one that all tests have
        PROTOCOLS.by_id.update(protocols.by_id)  # type: ignore[attr-defined]
        _as_written(FILE.with_name("protocols.toml"), mutant.text)

    word = re.compile(r"PROTOCOLS|protocol|course|run_story|EVIDENCE|drawn")
    return warm.noticed_by(warm.that_mention(word), change)


def _as_written(file: Path, text: str) -> None:
    """From here on this process reads this in the file."""
    reads = Path.read_text
    Path.read_text = lambda path, *args, **named: text if path == file else reads(path, *args, **named)  # type: ignore[method-assign]


# --- all of them ------------------------------------------------------------------------------------------------------

MODULES = sorted(path.stem for path in (HERE.parent / "edge" / "core").glob("[!_]*.py"))
TOLD: dict[str, Callable[[Mutant, Warm], str | None]] = {"rules": told_as_rules, "protocols": told_as_protocols}


def mutants_of(what: str, sample: int = 0, seed: int = 1, of: str = "") -> list[Mutant]:
    """Of rules, protocols, a module, or the core. `sample`: only so many; `of`: whose."""
    if what in TOLD:
        found = list(of_file(FILE.with_name(f"{what}.toml").read_text()))
    else:
        names = MODULES if what == "core" else [what.removeprefix("core.")]
        found = [one for name in names for one in of_module(name)]
    found = sorted((one for one in found if of in ("", one.of)), key=lambda one: one.of == "[engine]")
    found = Random(seed).sample(found, min(sample, len(found))) if sample else found
    return [one for one in found if re.sub(r"line \d+: ", "", one.label) not in EQUIVALENT]


def survives(what: str) -> Callable[[Mutant], bool | None]:
    """Whether every story comes true with a mutant; None: it is refused."""
    known = stories()
    if what == "rules":
        return lambda mutant: survives_as_rules(mutant, known)
    if what == "protocols":
        known += whole()
        return lambda mutant: survives_as_protocols(mutant, known)
    return lambda mutant: survives_as_module(mutant, known)


def told(what: str, warm: Warm, noticed: Counter[str], *, only_warm: bool) -> Callable[[Mutant], bool | None]:
    """The same of the fast tests; `noticed` counts in which file it was."""
    def lived(mutant: Mutant) -> bool | None:
        try:
            if only_warm and what not in TOLD and not changed_functions(mutant):
                return None
            who = TOLD.get(what, told_as_module)(mutant, warm)
        except (RulesError, ProtocolsError):
            return None
        noticed[who.partition("[")[0] if who else "nobody"] += 1
        return who is None

    return lived


def survivors(mutants: list[Mutant], lives: Callable[[Mutant], bool | None]) -> tuple[int, list[str]]:
    """How many mutants there were, and which of them nobody noticed."""
    count, found = 0, []
    for mutant in mutants:
        lived = lives(mutant)
        count += lived is not None
        if lived:
            found.append(mutant.label)
            print(mutant.label, flush=True)
        elif count % 10 == 0:
            print(f"{count} of {len(mutants)}, {len(found)} live", file=sys.stderr, flush=True)
    return count, found


def main() -> int:
    """0 where at least 95 of 100 die."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--of", default="")
    parser.add_argument("--tests", action="store_true")
    parser.add_argument("--notes", type=Path)
    parser.add_argument("--longest", type=float, default=60, help="of a test, in seconds of a processor")
    parser.add_argument("--most", type=float, default=600, help="seconds of a processor for a mutant, until it lives")
    parser.add_argument("--warm", action="store_true", help="of modules only what is changed in functions")
    asked = parser.parse_args()
    counted: list[tuple[int, int]] = []

    def work(warm: Warm | None) -> None:
        for what in asked.what:
            noticed: Counter[str] = Counter()
            lives = told(what, warm, noticed, only_warm=asked.warm) if warm else survives(what)
            count, found = survivors(mutants_of(what, asked.sample, asked.seed, asked.of), lives)
            counted.append((count, len(found)))
            print(f"{what}: {count - len(found)} of {count} die", dict(noticed.most_common()), flush=True)

    if asked.tests:
        with TemporaryDirectory() as folder:
            collected(files(), Warm(work, asked.notes or Path(folder) / "notes.json", asked.longest, asked.most))
    else:
        work(None)
    return 0 if counted and sum(alive for _, alive in counted) * 20 <= sum(count for count, _ in counted) else 1


if __name__ == "__main__":
    sys.exit(main())
