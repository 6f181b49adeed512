"""The house's own laws: who may import whom, where clocks and catch-alls may be, how long a thing may grow."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

import drivers
import simulators
from drivers.contract import FrameRequest
from edge.model import STATEMENT
from edge.vocabulary import METRICS, WAVES

ROOT = Path(__file__).parent.parent
OURS = ("edge", "drivers", "simulators")
FILE_LINES, FUNCTION_LINES = 420, 45  # about 400 and about 40: a question to the author, with a little room

# room -> the rooms it may import. The longest name counts. A room not listed here may import nothing of ours.
MAY = {
    "drivers": {"drivers"},
    "simulators": {"drivers", "simulators"},
    "edge.model": set(),
    "edge.vocabulary": set(),
    "edge.points": set(),
    "edge.aside": {"edge.points"},
    "edge.file_id": set(),
    "edge.sound": {"edge.model"},
    "edge.process": set(),
    "edge.postgres": set(),
    "edge.migrating": set(),
    "edge.toml_lines": set(),
    "edge.clock": {"edge.model"},
    "edge.contract": {"edge.model", "edge.vocabulary", "edge.sound", "edge.contract"},
    "edge.config": {"edge.model", "edge.vocabulary", "edge.toml_lines", "edge.postgres", "edge.config",
                    "edge.field.device_url", "drivers.contract", "drivers.bounded"},
    "edge.config.broker": {"edge.config", "edge.contract", "edge.process"},
    "edge.core": {"edge.model", "edge.vocabulary", "edge.toml_lines", "edge.contract", "edge.core"},
    "edge.field": {"edge.model", "edge.vocabulary", "edge.field", "drivers.contract"},
    "edge.journal": {"edge.model", "edge.points", "edge.aside", "edge.file_id", "edge.contract", "edge.postgres",
                     "edge.migrating", "edge.journal"},
    "edge.stream": {"edge.model", "edge.points", "edge.contract", "edge.stream"},
    "edge.console": {"edge.model", "edge.vocabulary", "edge.points", "edge.aside", "edge.file_id", "edge.contract",
                     "edge.postgres", "edge.migrating", "edge.console"},
    # the console's process, wired: the one module there that reads console.toml
    "edge.console.run": {"edge.model", "edge.contract", "edge.clock", "edge.config", "edge.postgres", "edge.console",
                         "edge.process"},
    "edge.app": {"drivers", "edge.model", "edge.vocabulary", "edge.sound", "edge.clock", "edge.contract", "edge.config",
                 "edge.core", "edge.field", "edge.journal", "edge.stream", "edge.app", "edge.process"},
    "edge.demo": set(OURS),
    "edge.cli": set(OURS),
}
# room -> what of the world it never sees
NEVER = {
    "drivers": {"asyncio", "time", "socket", "serial", "threading", "datetime.datetime"},
    "simulators": {"time", "serial"},
    "edge.core": {"asyncio", "time", "socket", "threading", "sqlalchemy", "aiomqtt", "fastapi", "pathlib.Path.open"},
    "edge.model": {"asyncio", "time", "socket"},
}
ROOMS = ("edge/contract", "edge/core", "edge/field", "edge/journal", "edge/stream", "edge/config", "edge/app",
         "edge/console", "edge/console/web", "edge/demo", "edge/cli", "drivers", "simulators", "deploy", "tests",
         "tests/golden")
PAGE_LINES = 80
CATCH_ALL_MAY = {"edge/app/supervisor.py"}
CLOCK_MAY = {"edge/clock.py"}
UNIT = re.compile(r"_(pct|bpm|mmhg|c|ml_h|ml|s)$")


@cache
def modules() -> dict[str, Path]:
    found = {}
    for room in OURS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if "node_modules" not in path.parts:
                found[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = path
    return found


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def texts_of_the_tree() -> dict[Path, str]:
    """Whatever a person reads here: code, pages, configuration. Without what is installed, built or recorded."""
    kinds = {".py", ".md", ".toml", ".ts", ".tsx", ".css", ".service", ".txt", ".json", ".conf"}
    skipped = {"node_modules", "static", "golden", "data", "build"}
    folders = (*OURS, "deploy", "tests")
    paths = [*ROOT.glob("*.*"), *(path for folder in folders for path in (ROOT / folder).rglob("*.*"))]
    return {path: path.read_text() for path in sorted(paths)
            if path.suffix in kinds and path.is_file() and not skipped & set(path.relative_to(ROOT).parts)}


def room_of(module: str) -> str | None:
    return next((room for room in sorted(MAY, key=len, reverse=True) if within(module, {room})), None)


def within(module: str, rooms: set[str]) -> bool:
    return any(module == room or module.startswith(room + ".") for room in rooms)


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "write whole names: relative imports hide the room"
            inside = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (full if full in modules() else node.module for full in inside)


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_room_imports_only_whom_it_may_know(module: str) -> None:
    room = room_of(module)
    if module == "edge":
        return
    assert room is not None, f"{module} is in no room: put it in one, or give it a line in MAY"
    for imported in imports(parsed(modules()[module])):
        if imported.split(".")[0] in OURS and imported != "edge":
            assert within(imported, MAY[room]), f"{module} ({room}) may not know {imported}"
        for world in NEVER.get(room, ()):
            assert not within(imported, {world}), f"{module} ({room}) may never see {world}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: {name for name in imports(parsed(path)) if name in modules() and name != module}
             for module, path in modules().items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names them


@pytest.mark.parametrize("module", sorted(modules()))
def test_laws_of_the_text(module: str) -> None:
    path = modules()[module]
    tree = parsed(path)
    name = path.relative_to(ROOT).as_posix()
    assert ast.get_docstring(tree), f"{name}: say its purpose in the docstring's first line"
    assert len(path.read_text().splitlines()) <= FILE_LINES, f"{name}: over {FILE_LINES} lines; two purposes, two files"
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and name not in CATCH_ALL_MAY:
            caught = "" if node.type is None else ast.unparse(node.type)
            assert caught not in ("", "Exception", "BaseException"), f"{name}:{node.lineno}: catch what you expect"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{name}:{node.lineno}: {node.name} has {length} lines"
        if isinstance(node, ast.Call):
            call = dotted(node.func)
            if call in ("time.time", "time.monotonic", "time.perf_counter", "datetime.now", "datetime.utcnow"):
                assert name in CLOCK_MAY, f"{name}:{node.lineno}: time is an argument; ask edge.clock"
            assert call != "asyncio.create_task", f"{name}:{node.lineno}: a bare task dies unseen; use a TaskGroup"


def dotted(node: ast.expr) -> str:
    """A name as it is written, `asyncio.create_task`; of anything else what follows its last call or index."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def is_ours(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def own_names(tree: ast.Module) -> set[str]:
    """Names a module defines itself: functions, classes, attributes of self, names at module and class level."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and is_ours(node.value):
            found.add(node.attr)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update(target.id for target in targets if isinstance(target, ast.Name))
    return found


def private_of_others(tree: ast.Module) -> list[str]:
    """Private attributes and names that the module uses and another one owns."""
    own = own_names(tree)
    used = [(node.lineno, node.attr) for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and not is_ours(node.value)]
    used += [(node.lineno, alias.name) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
             for alias in node.names]
    return [f"line {line}: {name}" for line, name in used
            if name.startswith("_") and not name.startswith("__") and name not in own]


@pytest.mark.parametrize("module", sorted(modules()))
def test_no_module_reaches_into_the_private_parts_of_another(module: str) -> None:
    """A library's private attribute changes without a word: find its public way, or another library."""
    assert private_of_others(parsed(modules()[module])) == []


@pytest.mark.parametrize("line", ["client._sock_close()", "from hashlib import _Hash", "super()._wait()"])
def test_a_private_part_of_another_is_seen(line: str) -> None:
    assert private_of_others(ast.parse(f"def own(self):\n    self._mine = other._mine\n    {line}"))


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_has_a_page_that_says_what_lives_there(room: str) -> None:
    lines = (ROOT / room / "README.md").read_text().splitlines()
    assert 5 <= len(lines) <= PAGE_LINES, f"{room}/README.md has {len(lines)} lines"


def test_nothing_cites_a_document_that_is_not_here() -> None:
    """Code cites a paper, a label, a standard or a manual; or a README that the reader can open."""
    texts = texts_of_the_tree()
    here = {path.name for path in texts}
    for path, text in texts.items():
        missing = set(re.findall(r"\b[\w-]+\.md\b", text)) - here
        assert not missing, f"{path.relative_to(ROOT)} cites {missing}"


def test_what_vigil_is_is_stated_in_the_same_words_everywhere() -> None:
    for path, text in texts_of_the_tree().items():
        plain = " ".join(re.sub(r"[*>#]", " ", text).split())
        if "as a medical device" in plain and path.suffix != ".py":
            assert STATEMENT in plain, f"{path.relative_to(ROOT)}: the statement is edge.model.STATEMENT, word for word"
    assert STATEMENT in " ".join((ROOT / "README.md").read_text().replace("*", "").replace(">", "").split())


def test_no_test_module_imports_another() -> None:
    """What tests share is in tests/helpers: a test module that moves or splits breaks no other."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        wrong = [name for name in imports(parsed(path))
                 if name == "tests" or name.startswith("tests.test_")]
        assert not wrong, f"{path.name} imports {wrong[0]}: move what they share to tests/helpers"


def test_a_file_of_tests_starts_one_browser_at_most() -> None:
    """What a page's tests share is conftest.py's, once a file: Chromium takes as long to start as most of them take."""
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        called = [dotted(node.func) for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
        starts = [name for name in called if name == "chromium" or name.endswith("chromium.launch")]
        assert len(starts) <= 1, f"{path.name} starts {len(starts)} browsers: take the fixtures `browser` and `opened`"


def test_every_driver_has_its_twin_and_its_golden_table() -> None:
    found = drivers.find()
    assert {"alaris_gh", "contec_cms60", "isco", "nonin", "suntech_advantage"} <= set(found)
    assert set(found) == set(simulators.find())
    for name in found:
        assert (ROOT / "tests" / "golden" / f"{name}.txt").is_file(), f"no golden table, no device: {name}"


def test_drivers_speak_the_vocabulary() -> None:
    for spec in drivers.find().values():
        unknown = spec.metrics - set(METRICS)
        assert not unknown, f"{spec.name} speaks of {unknown}"


def test_every_number_carries_its_unit() -> None:
    assert all(UNIT.search(key) for key in METRICS)
    assert {"pleth"} == WAVES


def test_the_field_names_no_device() -> None:
    names = set(drivers.find())
    for module, path in modules().items():
        if module.startswith("edge.field"):
            named = {name for name in names if re.search(rf"\b{name}\b", path.read_text())}
            assert not named, f"{module} names {named}"


STOPS = {"new_era": ("STP", "STP (safe)")}  # every request that stops a pump


def test_a_pump_is_read_and_may_be_stopped() -> None:
    """No request to a pump does more than read it, ask who it is, or stop it; those that stop one are named here. The
    dialogue sends nothing that is not in the spec's table, and a stop only where it was told that it may
    (edge/field/dialogue.py)."""
    pumps = [spec for spec in drivers.find().values() if spec.kind == "pump"]
    assert pumps
    for spec in pumps:
        effects = {request.name: request.effect for request in spec.requests}
        stops = tuple(name for name, effect in effects.items() if effect == "stop_pump")
        assert set(effects.values()) <= {"read", "identify", "stop_pump"}, f"{spec.name}: {effects}"
        assert stops == STOPS.get(spec.name, ())
        assert spec.stops_pump is bool(stops)
        for request in spec.requests:
            text = request.frame.decode("latin-1") if isinstance(request, FrameRequest) else ""
            assert not re.search(r"INF_START|INF_RATE\^|REMOTE_C|BOLUS", text), f"{spec.name} sends {text!r}"
            assert isinstance(request, FrameRequest) or request.function in (1, 2, 3, 4)


def test_lock_files_name_no_host() -> None:
    locks = [*(ROOT / "deploy").glob("*.lock"), ROOT / "edge" / "console" / "web" / "package-lock.json"]
    assert len(locks) >= 4
    for lock in locks:
        assert not re.search(r"https?://[^\s\"']*(pypi|pythonhosted|npmjs|registry)", lock.read_text()), lock.name


def test_what_is_installed_is_what_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## {project['version']}" in changelog


# --- a clinical number is the clinic's: rules.toml and protocols.toml -------------------------------------------------

CLINICAL = re.compile(r"_(pct|bpm|mmhg|c|ml_h|ml|mg|kg|mg_kg|mg_kg_h|ng_ml|s|min|moaas|cadss)$", re.IGNORECASE)
CONVERSIONS = {0, 1, -1, 60, 100, 1000, 3600}
TABLES_OF_DATA = {"engine.py", "protocol.py"}  # what these declare a clinic's file says, or 0.1.0's had no word for
STORIES = {"stories.py", "story_bed.py", "story_verbs.py"}  # what goes on by itself in a story
MAY_BE_CODE = {
    "burden.py SAME_WITHIN_S": "a report's: it judges nothing",
    "burden.py SPAN_S": "the span that ANSI/ISA-18.2 counts by",
    "burden.py CHATTERS_WITHIN_S": "as above",
    "burden.py STALE_S": "as above",
    "pk.py STEP_S": "how finely the model is reckoned",
    "presence.py OXIMETRY_EVERY_S": "how finely it is remembered when there was SpO2",
    "bedside.py nibp_interval_s": "where edge.toml says nothing",
    "state.py nibp_interval_s": "as above",
    "state.py nibp_interval_min": "where an order of 0.1.0 says nothing",
}


def clinical_numbers(tree: ast.AST) -> Iterator[str]:
    """The names of this module that have a unit and, beside them, a number that is none of the conversions."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                pairs = [*zip(names, values, strict=True)]
            case ast.Assign(targets=[name], value=value) | ast.AnnAssign(target=name, value=ast.expr() as value):
                pairs = [(name, value)]
            case ast.keyword(arg=str(arg), value=value):
                pairs = [(ast.Name(arg), value)]
            case ast.arguments(args=args, defaults=defaults, kwonlyargs=only, kw_defaults=others):
                given = [*zip(args[-len(defaults):], defaults, strict=False), *zip(only, others, strict=True)]
                pairs = [(ast.Name(arg.arg), value) for arg, value in given if value]
            case ast.Compare(left=left, comparators=rights):
                pairs = [*pairwise_both([left, *rights])]
            case ast.BinOp(left=left, right=right):
                pairs = [(left, right), (right, left)]
            case _:
                continue
        for name, value in pairs:
            written = [(value, True)] if isinstance(node, ast.BinOp) else written_in(value)
            if CLINICAL.search(called := name_of(name)) and any(
                    isinstance(one, ast.Constant) and isinstance(one.value, int | float)
                    and not isinstance(one.value, bool) and one.value not in (CONVERSIONS if reckons else {0, 1, -1})
                    for one, reckons in written):
                yield called


def written_in(value: ast.AST, reckons: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """What is written there, and whether in a sum or product; not what is given to a function, as in round(x, 2)."""
    yield value, reckons
    for part in ast.iter_child_nodes(value):
        if not isinstance(value, ast.Call | ast.Subscript):
            yield from written_in(part, reckons or isinstance(value, ast.BinOp))


def pairwise_both(parts: list[ast.expr]) -> Iterator[tuple[ast.expr, ast.expr]]:
    for one, other in pairwise(parts):
        yield from ((one, other), (other, one))


def name_of(node: ast.expr) -> str:
    """The name that stands here, as it is or called."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=func):
            return name_of(func)
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
    return ""


def test_no_clinical_number_stands_in_the_code_of_the_core() -> None:
    found = {f"{path.name} {name}" for path in (ROOT / "edge" / "core").glob("*.py")
             if path.name not in TABLES_OF_DATA | STORIES for name in clinical_numbers(parsed(path))}
    assert found - set(MAY_BE_CODE) == set(), "put it into deploy/rules.toml or protocols.toml, with its EVIDENCE row"
    assert set(MAY_BE_CODE) - found == set()


@pytest.mark.parametrize("code", [
    "LEAP_PCT = 20.0", "CHATTERS, WITHIN_S = 3, 90.0", "if spo2_pct < 90: pass", "if 90 > latest.spo2_pct: pass",
    "late = at_s + 300", "def f(*, hold_s=15): pass", "def f(at_s, hold_s=15): pass", "f(hold_s=15)",
    "RANGE_PCT: tuple[int, int] = (30, 100)", 'if found["sbp_mmhg"] >= 180: pass',
    "if given_mg(x) >= 35: pass", "if a < spo2_pct < 90: pass", "above = 1.2 * baseline.sbp_mmhg",
    "KEPT_S = 60.0", "most_mg = 0.97 * ordered",
])
def test_a_clinical_number_in_the_code_is_seen(code: str) -> None:
    assert list(clinical_numbers(ast.parse(code)))


@pytest.mark.parametrize("code", ["minutes = hold_s / 60", "share_pct = 100.0 * part", "if hold_s > 0: pass"])
def test_a_conversion_is_no_clinical_number(code: str) -> None:
    assert list(clinical_numbers(ast.parse(code))) == []
