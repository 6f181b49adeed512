"""One table of a map file, read key by key: what is missing, unknown or of another type is one line that says where."""

from __future__ import annotations

import difflib
import errno
import math
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from drivers.bounded import read_file

_MISSING: Any = object()
SHOWN = 80  # characters of what is refused
MOST_BYTES = 1_000_000  # of a map: thousands of values


class MapError(ValueError):
    """A map that is refused: file, line, what is wrong, and what to write instead."""


class Source:
    """A file's text, to find the line of a key. Raises MapError where it cannot be read or is no TOML."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = _text_of(path)
            self.raw: dict[str, Any] = tomllib.loads(text)
        except RecursionError:
            raise MapError(f"{path}:1: is not TOML: brackets in brackets in brackets; write key = value, with text in"
                           " quotes") from None
        except OSError as error:
            raise MapError(f"{path}: cannot be read ({error.strerror}); name a file that is there") from None
        except UnicodeDecodeError:
            raise MapError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
        except tomllib.TOMLDecodeError as error:
            said = re.sub(r" \(at (line (\d+), column \d+|end of document)\)$", "", str(error))
            line = re.search(r"at line (\d+)", str(error))
            at = line[1] if line else max(1, text.rstrip().count("\n") + 1)
            twice = "twice" in said or "overwrite" in said
            write = "it stands there already: take one out, or write [[name]] for several of a kind" if twice else (
                "write key = value, with text in quotes")
            raise MapError(f"{path}:{at}: is not TOML: {said}; {write}") from None
        self._lines = text.split("\n")

    def wrong(self, table: str, index: int, key: str | None, words: str) -> MapError:
        """The fault in `key` of the `index`th `table` (its header where `key` is None or not to be found)."""
        header, at = re.compile(rf"\s*\[\[?\s*{re.escape(table)}\s*\]"), 0
        starts = [number for number, line in enumerate(self._lines) if header.match(line)]
        if starts:
            at = starts[min(index, len(starts) - 1)]
        for number in range(at + bool(starts), len(self._lines)) if key else ():
            if re.match(r"\s*\[", self._lines[number]):
                break
            if re.match(rf"""\s*["']?{re.escape(str(key))}["']?\s*[=.]""", self._lines[number]):
                at = number
                break
        return MapError(f"{self.path}:{at + 1}: {words}")


def _text_of(path: Path) -> str:
    """Raises OSError, UnicodeDecodeError; MapError for what is no map by its size (a device without an end)."""
    try:
        held = read_file(path, MOST_BYTES)
    except OSError as wrong:
        if wrong.errno != errno.EFBIG:
            raise
        raise MapError(f"{path}:1: is longer than {MOST_BYTES // 1_000_000} MB; name the register map itself") from None
    return held.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


class Table:
    """One table; `taken` keys are known, `done` refuses the others."""

    def __init__(self, source: Source, name: str, index: int, raw: Any, many: bool) -> None:
        self._source, self._name, self._index = source, name, index
        self.title = f"[[{name}]]" if many else f"[{name}]"
        if not isinstance(raw, Mapping):
            raise self.wrong(None, f"{name!r} must be a table; write {self.title}")
        self._raw = raw
        self._known: list[str] = []

    def wrong(self, key: str | None, words: str) -> MapError:
        """A fault in this table, at `key`."""
        return self._source.wrong(self._name, self._index, key, words)

    def has(self, key: str) -> bool:
        """Whether the key is there; it counts as known."""
        self._known.append(key)
        return key in self._raw

    def _taken(self, key: str, default: Any) -> Any:
        if not self.has(key):
            if default is _MISSING:
                raise self.wrong(None, f"{self.title} lacks {key!r}; write {key} = ...")
            return default
        return self._raw[key]

    def text(self, key: str, default: str = _MISSING, choices: Collection[str] = (), *, lines: bool = False) -> str:
        """A text that can be shown, one of `choices` where there are any; `lines`: it may be several."""
        value = self._taken(key, default)
        if not isinstance(value, str) or not (value.strip() or value == default):
            raise self.wrong(key, f"{key!r} must be text in quotes, not {_shown(value)}")
        if not (value.replace("\n", "") if lines else value).isprintable():
            raise self.wrong(key, f"{key!r} must be {'text' if lines else 'one line of text'} that can be shown, not"
                                  f" {_shown(value)}")
        if choices and value not in choices and value != default:
            raise self.wrong(key, f"{key!r} must be one of {', '.join(choices)}, not"
                                  f" {_shown(value)}{near(value, choices)}")
        return value

    def number(self, key: str, low: float, high: float, default: float = _MISSING) -> float:
        """A finite number from `low` to `high`."""
        value = self._taken(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(key, f"{key!r} must be a number, not {_shown(value)}")
        if not low <= value <= high:
            raise self.wrong(key, f"{key!r} must be from {low:g} to {high:g}, not {_shown(value)}")
        return float(value)

    def whole(self, key: str, low: int, high: int, default: int = _MISSING) -> int:
        """A whole number from `low` to `high`."""
        value = self._taken(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(key, f"{key!r} must be a whole number, not {_shown(value)}")
        if not low <= value <= high and key in self._raw:
            raise self.wrong(key, f"{key!r} must be from {low} to {high}, not {value}")
        return value

    def numbers(self, key: str, default: Any = _MISSING) -> tuple[float, ...]:
        """A list of finite numbers."""
        value = self._taken(key, default)
        good = isinstance(value, list | tuple) and all(
            isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in value)
        if not good:
            raise self.wrong(key, f"{key!r} must be a list of numbers in [ ], not {_shown(value)}")
        return tuple(float(one) for one in value)

    def texts(self, key: str, default: tuple[str, ...], choices: Collection[str]) -> tuple[str, ...]:
        """A list of texts, each one of `choices`."""
        value = self._taken(key, list(default))
        if not isinstance(value, list) or not value or not all(one in choices for one in value):
            raise self.wrong(key, f"{key!r} must be a list of {', '.join(choices)}, not {_shown(value)}")
        return tuple(value)

    def inner(self, key: str) -> Table | None:
        """A table in { } under `key`, None where it is not there."""
        if not self.has(key):
            return None
        return self._inside(key, self._raw[key])

    def inners(self, key: str) -> list[Table]:
        """A list of tables in { }; empty where it is not there."""
        if not self.has(key):
            return []
        value = self._raw[key]
        if not isinstance(value, list):
            raise self.wrong(key, f"{key!r} must be a list of tables, as in [{{ input = 3, bit = 0 }}], not"
                                  f" {_shown(value)}")
        return [self._inside(key, one) for one in value]

    def coded(self, key: str, choices: Collection[str]) -> dict[int, str]:
        """A table of whole numbers (also 0x10) to one of `choices` each."""
        value = self._taken(key, _MISSING)
        if not isinstance(value, Mapping) or not value:
            raise self.wrong(key, f"{key!r} must be a table, as in {{ 0 = \"{min(choices)}\" }}, not {_shown(value)}")
        found: dict[int, str] = {}
        for code, word in value.items():
            try:
                number = int(code, 0)
            except ValueError:
                raise self.wrong(key, f"{key}: {code!r} must be a whole number, as in 3 or 0x10") from None
            if number in found:
                raise self.wrong(key, f"{key}: {code} is there twice; give each code one word")
            found[number] = word
            if word not in choices:
                raise self.wrong(key, f"{key}: {word!r} must be one of {', '.join(choices)}{near(word, choices)}")
        return found

    def done(self) -> None:
        """Refuse what was not read. Raises MapError."""
        for key in self._raw:
            if key not in self._known:
                raise self.wrong(key, f"no key {key!r} in {self.title}{near(key, self._known)}; it has:"
                                      f" {', '.join(dict.fromkeys(self._known))}")

    def _inside(self, key: str, raw: Any) -> Table:
        if not isinstance(raw, Mapping):
            raise self.wrong(key, f"{key!r} must be a table in {{ }}, not {raw!r}")
        return _Inner(self, key, raw)


class _Inner(Table):
    """A table in { }: its faults are at the line of its key."""

    def __init__(self, outer: Table, key: str, raw: Mapping[str, Any]) -> None:
        self.title = f"{key} = {{ }}"
        self._outer, self._key, self._raw = outer, key, raw
        self._known = []

    def wrong(self, key: str | None, words: str) -> MapError:
        return self._outer.wrong(self._key, f"{self._key}: {words}")


def _shown(value: object) -> str:
    """What stands there, cut where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def near(word: object, known: Collection[str]) -> str:
    """`; did you mean X?` where something known is like it."""
    found = difflib.get_close_matches(str(word), known, n=1)
    return f"; did you mean {found[0]!r}?" if found else ""
