"""Mutants: a rules.toml, a protocols.toml or a module of edge/core with one thing changed, and who notices.

    python -m tests.helpers.mutate rules|protocols|MODULE... [--sample N] [--seed N] [--of ID] [--tests]

Of data every number is one unit of its last digit more and less; a comparison is turned round, or its limit counts in
or out; `and` and `or` change places, and each of what they join is left out, as are `not`, each word of a list, each
key that may be; a priority is another one. Of a module: comparisons, numbers, `not`, `and`, `or`, True and False.
A mutant of rules is laid beside `rule_table.py`, and any is told stories until one of them does not come true. One for
which all come true is given, with `--tests`, to the fast tests of the core, in a copy of the tree; what passes those,
too, has survived, and is printed. `EQUIVALENT` names those that nobody could tell from what is written. `--of`: those
of this rule or protocol alone.
"""

from __future__ import annotations

import argparse
import ast
import gc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import CodeType, FunctionType
from typing import NamedTuple

from edge.core.alarms import family
from edge.core.protocols import ProtocolsError, parse_protocols
from edge.core.rules import RulesError, parse_rules
from edge.core.stories import StoryError, run_story, stories_of
from tests.helpers.rule_files import FILE, HERE, PROTOCOLS, RULES
from tests.helpers.rule_table import differences

CONDITIONS = ("when", "at_once", "clear", "open", "baseline_never")
PRIORITIES = {"low": "medium", "medium": "low", "high": "medium"}
MAY_BE_LEFT_OUT = ("at_once", "clear", "clear_hold_s", "raise", "latch", "device_priority", "for_bed", "override",
                   "ordered", "group")
TURNED = {"<": ("<=", ">"), "<=": ("<", ">="), ">": (">=", "<"), ">=": (">", "<="), "==": ("!=",), "!=": ("==",)}
EQUIVALENT = {
    "HTN-R: when: 110 -> 111 at 226": "from a diastolic of 110 HTN-2 stands, and then nobody is asked",
    "TEC-13: when: 60 -> 59 at 17": "of two saturations neither is older than 10 s",
    "TEC-13: when: 60 -> 61 at 17": "of two saturations neither is older than 10 s",
}


class Mutant(NamedTuple):
    """What is changed, where (a rule, a protocol, a function), and the text or code that has it."""

    label: str
    of: str
    text: str


# --- of a condition ---------------------------------------------------------------------------------------------------


def of_condition(text: str) -> Iterator[tuple[str, str]]:
    """What is changed, and the condition with it."""
    for node in ast.walk(ast.parse(text, mode="eval")):
        for start, end, new in _changes(node, text):
            yield f"{text[start:end]} -> {new or 'nothing'} at {start}", (text[:start] + new + text[end:]).strip()


def _changes(node: ast.AST, text: str) -> Iterator[tuple[int, int, str]]:
    match node:
        case ast.Constant(value=int() | float()):
            start, end = _span(node)
            yield from ((start, end, number) for number in _beside(text[start:end]))
        case ast.Compare(left=left, comparators=[right]):
            start, end = _span(left)[1], _span(right)[0]
            sign = text[start:end].strip(" ()")
            yield from ((start, end, text[start:end].replace(sign, new)) for new in TURNED[sign])
        case ast.BoolOp(op=op, values=values):
            word, other = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
            for before, after in pairwise(values):
                start, end = _span(before)[1], _span(after)[0]
                yield start, end, text[start:end].replace(word, other)
            yield from ((*_span(value), "1 > 0" if word == "and" else "1 < 0") for value in values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield _span(node)[0], _span(operand)[0], ""
        case ast.Call(args=args) if len(args) > 1 and all(isinstance(arg, ast.Name | ast.Constant) for arg in args):
            for arg in args:
                if isinstance(arg, ast.Name) or isinstance(getattr(arg, "value", 0), str):
                    kept = [ast.unparse(one) for one in args if one is not arg]
                    yield _span(args[0])[0], _span(args[-1])[1], ", ".join(kept)


def _span(node: ast.AST) -> tuple[int, int]:
    assert isinstance(node, ast.expr) and node.end_col_offset is not None
    return node.col_offset, node.end_col_offset


def _beside(number: str) -> Iterator[str]:
    """One unit of the last digit more, and less."""
    digits = len(number.partition(".")[2])
    for step in (1, -1):
        value = float(number.replace("_", "")) + step * 10.0 ** -digits
        if value >= 0:
            yield f"{value:.{digits}f}"


# --- of a file --------------------------------------------------------------------------------------------------------


def of_file(text: str) -> Iterator[Mutant]:
    """Every mutant of a rules.toml or a protocols.toml."""
    lines, of = text.splitlines(), "[engine]"
    for number, line in enumerate(lines):
        if line.startswith("id = ") and not _is_gate(lines, number):
            of = line.split('"')[1]
        for what, new in of_line(line):
            label = f"{of}: {line.partition(' = ')[0].strip()}: {what}"
            yield Mutant(label, of, "\n".join([*lines[:number], new, *lines[number + 1:]]))


def _is_gate(lines: list[str], number: int) -> bool:
    return lines[number - 1].startswith(("[[protocol.", "[[limit]]"))


def of_line(line: str) -> Iterator[tuple[str, str]]:
    """What is changed in a line `key = value`, and the line with it."""
    found = re.match(r"(\w+) = (.*)", line)
    if not found:
        return
    key, value = found.groups()
    if key in MAY_BE_LEFT_OUT:
        yield "left out", f"# {line}"
    if key == "priority" and (written := value.strip('"')) in PRIORITIES:
        yield f"{written} -> {PRIORITIES[written]}", f'{key} = "{PRIORITIES[written]}"'
    if key in CONDITIONS:
        quote = value[0]
        for what, new in of_condition(value.strip(quote)):
            yield what, f"{key} = {quote}{new}{quote}"
    elif key == "raise":
        for when in re.finditer(r'when = "([^"]*)"', value):
            for what, new in of_condition(when[1]):
                yield what, f"{key} = {value[:when.start(1)]}{new}{value[when.end(1):]}"
    elif key in ("context", "for_each"):
        names = re.findall(r'"(\S+?)"', value)
        for name in names if len(names) > 1 else ():
            yield f"without {name}", f"{key} = {[one for one in names if one != name]}"
    elif bare := re.match(r"(\d[\d.]*)(\s*#.*)?$", value):
        for new in _beside(bare[1]):
            yield f"{bare[1]} -> {new}", f"{key} = {new}"
    elif key in ("dose_mg_kg", "duration_min", "concentration_mg_ml", "at_min", "doses_mg"):
        for one in re.finditer(r"\d[\d.]*", value.partition("#")[0]):
            for new in _beside(one[0]):
                yield f"{one[0]} -> {new}", f"{key} = {value[:one.start()]}{new}{value[one.end():]}"


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
    return not differences(rules) and _all_true(of_rule(mutant.of, known), lambda name, text: run_story(
        text, name, rules, name if name in WATCHING else None, PROTOCOLS), known)


def survives_as_protocols(mutant: Mutant, known: list[Story]) -> bool | None:
    """The same under these protocols."""
    try:
        protocols = parse_protocols(mutant.text)
    except ProtocolsError:
        return None
    return _all_true(list(known), lambda name, text: run_story(
        text, name, RULES, name if name in WATCHING else None, protocols), known)


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


# --- of a module ------------------------------------------------------------------------------------------------------


class _Change(ast.NodeTransformer):
    """Makes the change of one number; counts them all."""

    def __init__(self, which: int) -> None:
        self.which, self.count, self.what = which, 0, ""

    def _is_it(self, node: ast.AST, what: str) -> bool:
        self.count += 1
        if self.count - 1 != self.which:
            return False
        self.what = f"line {getattr(node, 'lineno', 0)}: {what}"
        return True

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        names = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
        signs: dict[str, type[ast.cmpop]] = {sign: kind for kind, sign in names.items()}
        for number, op in enumerate(node.ops):
            for new in TURNED.get(names.get(type(op), ""), ()):
                if self._is_it(node, f"{names[type(op)]} -> {new} in {ast.unparse(node)}"):
                    node.ops[number] = signs[new]()
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if self._is_it(node, f"and <-> or in {ast.unparse(node)}"):
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not) and self._is_it(node, f"without not in {ast.unparse(node)}"):
            return node.operand
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool):
            if self._is_it(node, f"{node.value} -> {not node.value}"):
                return ast.copy_location(ast.Constant(not node.value), node)
        elif isinstance(node.value, int | float) and self._is_it(node, f"{node.value} -> {node.value + 1}"):
            return ast.copy_location(ast.Constant(node.value + 1), node)
        return node


def of_module(name: str) -> Iterator[Mutant]:
    """Every mutant of a module of edge/core, by its name there."""
    module = import_module(f"edge.core.{name}")
    source = (FILE.parent.parent / "edge" / "core" / f"{name}.py").read_text()
    number = 0
    while True:
        change = _Change(number)
        tree = change.visit(ast.parse(source))
        if not change.what:
            return
        yield Mutant(f"{name}: {change.what}", module.__name__, ast.unparse(ast.fix_missing_locations(tree)))
        number += 1


def _functions(code: CodeType) -> Iterator[CodeType]:
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield part
            yield from _functions(part)


def survives_as_module(mutant: Mutant, known: list[Story]) -> bool | None:
    """Whether every story comes true with this module's functions; None: the change is in none of them."""
    module = import_module(mutant.of)
    new = {code.co_qualname: code for code in _functions(compile(mutant.text, mutant.of, "exec"))}
    live = [one for one in gc.get_objects() if isinstance(one, FunctionType) and one.__module__ == module.__name__]
    before = [(one, one.__code__) for one in live]
    changed = False
    for one, code in before:
        other = new.get(code.co_qualname)
        if other is not None and len(other.co_freevars) == len(code.co_freevars) and _differ(other, code):
            one.__code__, changed = other, True
    try:
        return _all_true(list(known), lambda name, text: run_story(
            text, name, RULES, name if name in WATCHING else None, PROTOCOLS), known) if changed else None
    finally:
        for one, code in before:
            one.__code__ = code


def _differ(one: CodeType, other: CodeType) -> bool:
    if one.co_code != other.co_code or one.co_names != other.co_names:
        return True
    return any(_differ(a, b) if isinstance(a, CodeType) and isinstance(b, CodeType) else a != b
               for a, b in zip(one.co_consts, other.co_consts, strict=False)) or \
        len(one.co_consts) != len(other.co_consts)


# --- the fast tests of the core ---------------------------------------------------------------------------------------

ROOT = FILE.parent.parent
OF_THE_CORE = ("test_alarm_life", "test_attention", "test_bedside", "test_burden", "test_core_*", "test_evidence",
               "test_hold", "test_ledger", "test_logic", "test_maintenance", "test_pk", "test_protocols",
               "test_rules*", "test_second_evaluator", "test_shelf", "test_starting", "test_story_language",
               "test_unwatched")


class Tree:
    """A copy of what the core's tests need, in which one file can be another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("edge", "drivers", "simulators", "tests", "deploy"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)

    def passes(self, mutant: Mutant, file: str) -> bool:
        """Whether the core's fast tests pass with `file` (a path in the tree) as this mutant has it."""
        place = self.folder / file
        before = place.read_text()
        place.write_text(mutant.text)
        try:
            names = [str(path) for name in OF_THE_CORE for path in sorted((self.folder / "tests").glob(f"{name}.py"))]
            return subprocess.run(
                [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", *names],
                cwd=self.folder, env=os.environ | {"PYTHONPATH": str(self.folder)}, capture_output=True,
                check=False).returncode == 0
        finally:
            place.write_text(before)


# --- all of them ------------------------------------------------------------------------------------------------------


def survivors(what: str, sample: int = 0, seed: int = 1, of: str = "",
              tree: Tree | None = None) -> tuple[int, list[str]]:
    """How many mutants there were, and which of them nobody noticed. `sample`: only so many; `of`: whose."""
    known, file = stories(), f"deploy/{what}.toml"
    if what == "rules":
        mutants, survives = list(of_file(FILE.read_text())), survives_as_rules
    elif what == "protocols":
        mutants, survives = list(of_file(FILE.with_name("protocols.toml").read_text())), survives_as_protocols
        known = [*known, *whole()]
    else:
        mutants, survives, file = list(of_module(what)), survives_as_module, f"edge/core/{what}.py"
    mutants = sorted((one for one in mutants if of in ("", one.of)), key=lambda one: one.of == "[engine]")
    if sample:
        mutants = Random(seed).sample(mutants, min(sample, len(mutants)))
    count, found = 0, []
    for mutant in mutants:
        if mutant.label in EQUIVALENT or (survived := survives(mutant, known)) is None:
            continue
        count += 1
        if survived and (tree is None or tree.passes(mutant, file)):
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
    asked = parser.parse_args()
    total, alive = 0, 0
    with TemporaryDirectory() as folder:
        tree = Tree(Path(folder)) if asked.tests else None
        for what in asked.what:
            count, found = survivors(what, asked.sample, asked.seed, asked.of, tree)
            total, alive = total + count, alive + len(found)
            print(f"{what}: {count - len(found)} of {count} die", flush=True)
    return 0 if alive * 20 <= total else 1


if __name__ == "__main__":
    sys.exit(main())
