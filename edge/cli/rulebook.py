"""The verbs about a clinic's rules and protocols: check them, say them in words, run their stories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

rules_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Validate rules, say them in words, run their stories.")
protocols_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Validate protocols, say them in words.")
File = Annotated[Path, typer.Argument(help="A rules.toml.")]
ProtocolsFile = Annotated[Path, typer.Argument(help="A protocols.toml.")]


@protocols_app.command("check")
def protocols_check(file: ProtocolsFile) -> int:
    """Validate the protocols."""
    from edge.cli.protocols import check_protocols

    return check_protocols(file)


@protocols_app.command("explain")
def protocols_explain(file: ProtocolsFile) -> int:
    """Say each protocol in words."""
    from edge.cli.protocols import explain_protocols

    return explain_protocols(file)


@rules_app.command("check")
def rules_check(file: File) -> int:
    """Validate the rules."""
    from edge.cli.records import check_rules

    return check_rules(file)


@rules_app.command("explain")
def rules_explain(file: File) -> int:
    """Say each rule in words."""
    from edge.cli.records import explain_rules

    return explain_rules(file)


@rules_app.command("test")
def rules_test(
    file: File,
    stories: Annotated[Path | None, typer.Option(help="Folder of stories, one text file a rule.")] = None,
) -> int:
    """Run the rules' stories."""
    from edge.cli.records import test_rules

    return test_rules(file, stories)


def add_to(app: typer.Typer) -> None:
    """Each as a verb of `rules` or `protocols`."""
    app.add_typer(rules_app, name="rules")
    app.add_typer(protocols_app, name="protocols")
