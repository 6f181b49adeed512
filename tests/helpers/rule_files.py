"""The default rules and protocols, and where the stories are."""

from __future__ import annotations

from pathlib import Path

from edge.core.protocols import parse_protocols
from edge.core.rules import parse_rules

HERE = Path(__file__).parent.parent
FILE = HERE.parent / "deploy" / "rules.toml"
RULES = parse_rules(FILE.read_text(), FILE.name)
PROTOCOLS = parse_protocols(FILE.with_name("protocols.toml").read_text())
