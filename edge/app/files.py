"""The rules and the protocols that an edge goes by, as files. Raises BadUsage with one line for what cannot be used."""

from __future__ import annotations

from pathlib import Path

from drivers.bounded import read_file
from drivers.contract import ALARMS
from edge.core.mistakes import check_protocols, check_rules
from edge.core.protocol import Protocols
from edge.core.protocols import ProtocolsError, parse_protocols
from edge.core.rules import RulesError, RuleSet, parse_rules
from edge.process import BadUsage


def read_rules(path: Path) -> tuple[RuleSet, str]:
    """The rules in a file, and its text. Raises BadUsage."""
    text = _text(path, "rules.toml")
    try:
        rules = parse_rules(text, path)
        check_rules(rules, text, path, ALARMS)
        return rules, text
    except RulesError as wrong:
        raise BadUsage(str(wrong)) from None


def read_protocols(path: Path | None, rules: RuleSet | None = None) -> tuple[Protocols | None, str]:
    """The protocols in a file, and its text; (None, "") where there is none. `rules`: by which they are to be used, so
    that no gate asks for an alarm that none of them has. Raises BadUsage."""
    if path is None:
        return None, ""
    text = _text(path, "protocols.toml")
    try:
        protocols = parse_protocols(text, path)
        check_protocols(text, path, ALARMS, rules)
        return protocols, text
    except ProtocolsError as wrong:
        raise BadUsage(str(wrong)) from None


def _text(path: Path, kind: str) -> str:
    try:
        return read_file(path).decode("utf-8-sig").replace("\r\n", "\n")  # some editors begin with a byte order mark
    except OSError as wrong:
        raise BadUsage(f"{path}: cannot be read ({wrong.strerror}); give the path of a {kind}") from None
    except UnicodeDecodeError as wrong:
        raise BadUsage(f"{path}: is not UTF-8 text (byte {wrong.start}); save it as UTF-8") from None
