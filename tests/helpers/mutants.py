"""Mutants: a rules.toml, a protocols.toml or a module of edge/core with one thing changed. Who notices: `mutate.py`.

Of data every number is one unit of its last digit more and less; a comparison is turned round, or its limit counts in
or out; `and` and `or` change places, and each of what they join is left out, as are `not`, each word of a list, each
key that may be; a priority is another one. Of a module: comparisons, numbers, `not`, `and`, `or`, True and False.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from inspect import CO_NEWLOCALS
from itertools import pairwise
from types import CodeType
from typing import Any, NamedTuple

from tests.helpers.rule_files import FILE

CONDITIONS = ("when", "at_once", "clear", "open", "baseline_never")
PRIORITIES = {"low": "medium", "medium": "low", "high": "medium"}
MAY_BE_LEFT_OUT = ("at_once", "clear", "clear_hold_s", "raise", "latch", "device_priority", "for_bed", "override",
                   "ordered", "group")
# of a class, of zip and of a cache: they only refuse our own bugs, or say how much is written down or kept at hand
OF_A_CLASS = {"frozen", "slots", "kw_only", "compare", "repr", "strict", "omit_defaults", "maxsize"}
TURNED = {"<": ("<=", ">"), "<=": ("<", ">="), ">": (">=", "<"), ">=": (">", "<="), "==": ("!=",), "!=": ("==",)}


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
    lines, of, gate = text.split("\n"), "[engine]", ""
    for number, line in enumerate(lines):
        if line.startswith("id = "):
            name = line.split('"')[1]
            of, gate = (of, f" {name}:") if _is_gate(lines, number) else (name, "")
        for what, new in of_line(line):
            label = f"{of}:{gate} {line.partition(' = ')[0].strip()}: {what}"
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

# --- of a module ------------------------------------------------------------------------------------------------------


class _Change(ast.NodeTransformer):
    """Makes the change of one number; counts them all."""

    def __init__(self, which: int) -> None:
        self.which, self.count, self.what = which, 0, ""
        self._way: list[ast.AST] = []  # to the node that is visited

    def visit(self, node: ast.AST) -> Any:
        self._way.append(node)
        changed = super().visit(node)
        self._way.pop()
        return changed

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

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        return node if ast.unparse(node.value) == "Literal" else self.generic_visit(node)  # a type

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        return node if node.arg in OF_A_CLASS else self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        return node  # it is so already, and only the type checker has to be told

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if ast.unparse(node.func) == "round" and [ast.unparse(one) for one in node.args[1:]] == ["3"]:
            node.args[0] = self.visit(node.args[0])  # not the digits: times are whole milliseconds (edge/clock.py)
            return node
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        of = f" in {ast.unparse(next(one for one in self._way[-2::-1] if not isinstance(one, ast.UnaryOp)))}"
        if isinstance(node.value, bool):
            if self._is_it(node, f"{node.value} -> {not node.value}{of}"):
                return ast.copy_location(ast.Constant(not node.value), node)
        elif isinstance(node.value, int | float) and self._is_it(node, f"{node.value} -> {node.value + 1}{of}"):
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


def changed_functions(mutant: Mutant) -> dict[CodeType, CodeType]:
    """Of a module's mutant: the code of each function that it changes, as it is and with the change. Empty where what
    is changed is done once, when the module is imported."""
    file = FILE.parent.parent / f"{mutant.of.replace('.', '/')}.py"
    source = file.read_text()
    live, plain, changed = (list(_functions(compile(text, file, "exec", dont_inherit=True)))
                            for text in (source, ast.unparse(ast.parse(source)), mutant.text))
    return {one: new for one, same, new in zip(live, plain, changed, strict=True)
            if one.co_flags & CO_NEWLOCALS and _differ(same, new)}


def _differ(one: CodeType, other: CodeType) -> bool:
    if one.co_code != other.co_code or one.co_names != other.co_names:
        return True
    return any(_differ(a, b) if isinstance(a, CodeType) and isinstance(b, CodeType) else a != b
               for a, b in zip(one.co_consts, other.co_consts, strict=False)) or \
        len(one.co_consts) != len(other.co_consts)
