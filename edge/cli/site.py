"""The verbs about a whole installation: begin one, see what it lacks, copy it, put it back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON for another program.")]
Data = Annotated[Path, typer.Option(help="The data folder, as edge.toml and console.toml name it.")]


def init(
    folder: Annotated[Path, typer.Argument(help="A folder that is empty or not there yet.")] = Path("/etc/vigil"),
    edge: Annotated[str, typer.Option(help="The edge's id: a-z, 0-9 and -.")] = "clinic-1",
    beds: Annotated[int, typer.Option(min=1, max=64, help="How many beds, still without devices.")] = 1,
) -> int:
    """A clinic's folder to begin with: edge.toml, console.toml, rules, protocols, and keys that know each other."""
    from edge.cli import installation

    return installation.make_installation(folder, edge, beds)


def doctor(
    folder: Annotated[Path, typer.Argument(help="Where edge.toml and console.toml are.")] = Path("/etc/vigil"),
    as_json: Json = False,
) -> int:
    """What is missing or wrong here, and the remedy, one a line; 1 if anything is. Run it as the services' user. It
    opens no device and changes nothing."""
    from edge.cli.installation import see_installation

    return see_installation(folder, as_json)


def backup(
    to: Annotated[Path, typer.Argument(help="A folder that is not there yet.")], data: Data = Path("/var/lib/vigil"),
    journal: Annotated[str | None, typer.Option(
        help="The journal's database URL, where it is not journal.db in the data folder.")] = None,
    console: Annotated[str | None, typer.Option(help="The same of the console's store.")] = None,
) -> int:
    """Copy journal, console store and keys of a data folder, as of one moment, while edge and console run."""
    from edge.cli.backup import back_up

    return back_up(data, to, journal, console)


def restore(
    backup: Annotated[Path, typer.Argument(help="A folder that `vigil backup` made.")],
    data: Data = Path("/var/lib/vigil"),
    journal: Annotated[str | None, typer.Option(
        help="The URL of an empty database for the journal, instead of journal.db in the data folder.")] = None,
    console: Annotated[str | None, typer.Option(help="The same for the console's store.")] = None,
) -> int:
    """Check a backup and put it where there is no data yet; edge and console must be stopped."""
    from edge.cli import backup as backups

    return backups.restore(backup, data, journal, console)


def add_to(app: typer.Typer) -> None:
    """Each as a verb of `app`."""
    for verb in (init, doctor, backup, restore):
        app.command()(verb)
