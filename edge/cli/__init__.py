"""`vigil`: one command with verbs. What a person asks wrongly gets one line and exit code 2."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from edge.cli import rulebook, site
from edge.contract.seen import is_seen
from edge.model import STATEMENT
from simulators.faults import KINDS

app = typer.Typer(
    name="vigil", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Vigil watches over ketamine infusions: it reads the pump, the cuff and the oximeter at each bed, judges "
    "them against the patient's own baseline, and puts every event on the nurse's screen. " + STATEMENT,
)
rulebook.add_to(app)
site.add_to(app)

FAULTS = ", ".join(KINDS)
Json = Annotated[bool, typer.Option("--json", help="Print JSON for another program.")]
DriversFolder = Annotated[Path | None, typer.Option("--drivers", help="A folder with drivers of your own.")]
ReportsFolder = Annotated[Path | None, typer.Option(
    "--reports", help="The folder of this clinic's acceptance reports: vigil check puts them there, vigil devices reads"
                      " them.")]
CohortSize = Annotated[int | None, typer.Option(
    min=1, max=100_000, help="No devices: live so many simulated infusions of different people, and print what the"
                             " rules raise beside published figures.")]
CohortRules = Annotated[Path | None, typer.Option(help="With --cohort: the rules; default: as shipped.")]
CohortProtocol = Annotated[str | None, typer.Option(
    "--protocol", help="With --cohort: how the drug is given, iv_racemic_40 (the default) or esketamine_rems.")]
FaultFree = Annotated[bool, typer.Option("--fault-free", help="With --cohort: nobody moves, no sensor slips.")]
CohortKeep = Annotated[Path | None, typer.Option(
    "--keep", help="With --cohort: a new folder, into which each session leaves its journal. `vigil replay FOLDER"
                   " --arms` judges them in other ways.")]
Journal = Annotated[str, typer.Argument(help="journal.db, or a database URL.")]


def main() -> None:
    """The console script."""
    from edge.process import BadUsage

    try:
        code = app(standalone_mode=False)
    except BadUsage as wrong:
        print(f"vigil: {_one_line(str(wrong))}", file=sys.stderr)
        code = 2
    except typer.TyperException as wrong:
        said = wrong.format_message()
        whole_help = said.startswith("Usage:")  # what is said where no verb was given
        print(said if whole_help else f"vigil: {_one_line(said)} See: vigil --help", file=sys.stderr)
        code = 2
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    sys.exit(code or 0)


def _one_line(said: str) -> str:
    """With what a person typed or a file is named: a line end in it, or what hides or turns letters, is written out."""
    return "".join(letter if is_seen(letter) else repr(letter)[1:-1] for letter in said)


def _version(asked: bool) -> None:
    if asked:
        print(version("vigil"))
        raise typer.Exit


@app.callback()
def _vigil(
    shown: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


@app.command()
def demo(
    beds: Annotated[int, typer.Option(min=1, max=64, help="How many beds at each edge.")] = 4,
    speed: Annotated[
        float, typer.Option(min=0.1, max=60, help="Edge seconds a real second; 20 tells the story in 3 min.")] = 1.0,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The console's port; 8080 if it is free.")] = None,
    data: Annotated[Path | None, typer.Option(help="Where to keep everything; a new temporary folder.")] = None,
    scenario: Annotated[str | None, typer.Option(
        help="day (opens in the middle of things, goes on for ever), story (an hour, four troubles) or calm; by itself"
        " day at speed 1, story at any other.")] = None,
    edges: Annotated[int, typer.Option(min=1, max=4, help="How many edges, each with so many beds.")] = 1,
    as_json: Json = False,
) -> int:
    """Everything on one machine: broker, simulated beds on ptys and Modbus TCP, edge, console. Ctrl-C ends it."""
    from edge.demo.demo import Options, run_demo

    return run_demo(Options(beds, speed, port, data, scenario, as_json, edges))


@app.command()
def edge(
    config: Annotated[Path, typer.Option(help="edge.toml: devices, drivers, ports, beds.")],
    check: Annotated[bool, typer.Option("--check", help="Check edge.toml and the rules, and start nothing.")] = False,
    again: Annotated[bool, typer.Option(
        "--reload", help="Have the edge that runs with this file read it again, and say what came of it.")] = False,
    wait_for_go: Annotated[bool, typer.Option(
        "--wait-for-go", help="Read everything, then begin when a line comes on standard input.")] = False,
) -> int:
    """The edge service alone: reads the devices, judges, keeps the journal, streams over MQTT. With --reload, or on
    SIGHUP, the one that runs reads edge.toml again, checks all of it, and restarts only the devices that changed."""
    from edge.app.run import check_edge, reload_edge, run_edge

    return check_edge(config) if check else reload_edge(config) if again else run_edge(config, wait_for_go)


@app.command()
def console(config: Annotated[Path, typer.Option(help="console.toml.")]) -> int:
    """The bedside console alone: pages for nurses, prescribers and technicians."""
    from edge.console.run import run_console

    return run_console(config)


@app.command()
def user(
    config: Annotated[Path, typer.Option(help="console.toml.")],
    name: Annotated[str, typer.Argument(help="The login.")],
    role: Annotated[str | None, typer.Option(
        help="nurse, prescriber, technician or administrator. Left out: as it is; a new one: nurse.")] = None,
    disable: Annotated[bool, typer.Option("--disable", help="Nobody signs in under it, and its screens are signed out,"
                                          " until it gets a new password.")] = False,
) -> int:
    """Make a console account, or give it a new password: asked twice, or one line on standard input. That also lets a
    disabled one in again."""
    from edge.console.run import put_user

    return put_user(config, name, role, disable)


@app.command()
def broker(
    host: Annotated[
        str, typer.Option(help="A loopback address; for any other, mosquitto (deploy/mosquitto.conf).")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 1883,
    passwords: Annotated[Path | None, typer.Option(
        help="Lines user:argon2-hash; without it anybody on this machine is let in.")] = None,
    access: Annotated[Path | None, typer.Option(
        help="Who may read and write what, as in deploy/mosquitto.acl; without it each may do everything.")] = None,
) -> int:
    """The embedded MQTT broker, on loopback only."""
    from edge.app.run import run_broker

    return run_broker(host, port, passwords, access)


@app.command()
def simulate(
    driver: Annotated[
        list[str] | None, typer.Argument(help="Twins of these drivers, or of register maps (pump.toml); all of them if"
                                         " none is named.")] = None,
    beds: Annotated[int | None, typer.Option(min=1, max=256, help="How many beds, with --scenario.")] = None,
    scenario: Annotated[str | None, typer.Option(help="day, story or calm: whole beds that live through it.")] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help=f"KIND=RATE on the wire, as in flip=0.01, KIND one of {FAULTS}; may"
                                       " be repeated. What each does: simulators/README.md.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same day.")] = 1,
    speed: Annotated[float, typer.Option(min=0.01, max=1000, help="Simulated seconds per real second.")] = 1.0,
    play: Annotated[
        Path | None, typer.Option(help="Put a recorded capture (JSONL) on the wire of the one driver named (a Contec's"
                                  " session needs no name): all that its device said, at its own times; from the"
                                  " beginning for every new reader.")] = None,
    patient: Annotated[Path | None, typer.Option(help="Take the vitals from a recorded patient (CSV).")] = None,
    ports: Annotated[Path | None, typer.Option(help="A folder for links to the ptys that survive replugging.")] = None,
    wait_for_go: Annotated[
        bool, typer.Option("--wait-for-go", help='Begin the scenario, or a recorded patient, when {"do":"go"} comes on'
                                                 " stdin.")] = False,
    journal: Annotated[Path | None, typer.Option(help="Write every fault put on a wire to this file (JSON).")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="First TCP port; 0: any free ones.")] = 0,
    control: Annotated[
        Path | None, typer.Option(help="A Unix socket that takes hands at the devices as JSON and answers.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--simulators", help="A folder with twins of your own, as `--drivers` is of drivers.")
    ] = None,
    cohort: CohortSize = None, rules: CohortRules = None, fault_free: FaultFree = False, as_json: Json = False,
    protocol: CohortProtocol = None, keep: CohortKeep = None,
) -> int:
    """Only the simulators: twins on real ptys and TCP ports; prints where each can be reached."""
    if cohort is not None:
        from edge.demo.cohort import run_cohort
        from edge.demo.configuration import rules_file

        return run_cohort(cohort, seed, rules or rules_file(), faults=not fault_free, as_json=as_json,
                          protocol=protocol or "iv_racemic_40", keep=keep)
    if rules or keep or protocol or fault_free:
        raise typer.BadParameter("--rules, --keep, --protocol and --fault-free are for --cohort N")
    from simulators.serve import run_simulate

    return run_simulate(
        driver or [], beds=beds, scenario=scenario, faults=fault or [], seed=seed, speed=speed, play=play,
        patient=patient, as_json=as_json, ports=ports, wait_for_go=wait_for_go, port=port, journal=journal,
        control=control, folder=folder)


@app.command()
def devices(
    name: Annotated[str | None, typer.Argument(help="One driver, or a register map (pump.toml): its card.")] = None,
    as_json: Json = False, drivers: DriversFolder = None, reports: ReportsFolder = None,
) -> int:
    """The drivers: kind, transport, evidence grade, source, and every request that can be sent to the device."""
    from edge.cli.catalogue import list_devices

    return list_devices(name, as_json, drivers, reports)


@app.command()
def ports(as_json: Json = False) -> int:
    """Serial ports by their identity."""
    from edge.cli.probe import list_ports

    return list_ports(as_json)


@app.command()
def probe(
    port: Annotated[str, typer.Argument(help="/dev/serial/by-id/..., tcp://host:port, modbus+tcp://host:port?unit=1.")],
    as_json: Json = False, drivers: DriversFolder = None,
) -> int:
    """What is on this port, by each driver's read-only questions, or what its bytes look like; 1 if it is nothing."""
    from edge.cli.probe import run_probe

    return run_probe(port, as_json, drivers)


@app.command()
def check(
    port: Annotated[str, typer.Argument(help="/dev/serial/by-id/..., tcp://host:port, modbus+tcp://host:port?unit=1.")],
    driver: Annotated[str, typer.Option(help="Its driver, or a register map (pump.toml).")],
    minutes: Annotated[float, typer.Option(min=0.02, max=4320, help="How long it is listened to.")] = 2.0,
    pull: Annotated[bool, typer.Option(help="Ask for the cable to be pulled and put back, and time both.")] = False,
    setting: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE of the driver's settings.")] = None,
    as_json: Json = False, drivers: DriversFolder = None, reports: ReportsFolder = None,
) -> int:
    """Is this link fit for a bed? A report of frames, errors, gaps and response times, to print; 1 if it is not.
    With --reports it is kept, and a driver whose real device has been checked rises on the scale."""
    from edge.cli.check import run_check

    return run_check(port, driver, minutes * 60, pull=pull, settings=setting or [], as_json=as_json, folder=drivers,
                     reports=reports)


@app.command()
def capture(
    port: Annotated[str, typer.Argument(help="/dev/serial/by-id/..., or tcp://host:port.")],
    file: Annotated[Path, typer.Argument(help="Where to write it: lines of JSON.")],
    driver: Annotated[str, typer.Option(help="The driver that asks the device, and sets the line.")],
    minutes: Annotated[float, typer.Option(min=0.02, max=4320, help="How long; Ctrl-C ends it too.")] = 2.0,
    drivers: DriversFolder = None,
) -> int:
    """Record all that goes over a device's line, both ways; `vigil simulate NAME --play FILE` plays it."""
    from edge.cli.capture import run_capture

    return run_capture(port, file, driver, minutes * 60, drivers)


@app.command()
def replay(
    journals: Annotated[list[str], typer.Argument(
        metavar="journal", help="journal.db, a database URL, or a folder of journals; several: what each would have"
                                " raised.")],
    rules: Annotated[list[Path] | None, typer.Option(
        help="Judge by these rules instead of the recorded ones; several times: compare them all.")] = None,
    burden: Annotated[bool, typer.Option(
        "--burden", help="Print what would have been raised, and its load, for one journal too.")] = False,
    arms: Annotated[bool, typer.Option(
        "--arms", help="Compare limits alone, without artefacts, and the rules as they are.")] = False,
    event_s: Annotated[float, typer.Option(
        min=0, help="A limit that is broken for so many seconds is an event; who raises nothing misses it.")] = 15.0,
    picture: Annotated[Path | None, typer.Option(help="Draw the rates into this SVG file.")] = None,
    as_json: Json = False,
) -> int:
    """The journal's inputs through the core again; differences from what was recorded. 1 if there are any.

    With several journals or rules, or one of the other options: what would have been raised, gained, lost, moved and
    missed, and its load (ANSI/ISA-18.2).
    """
    from edge.cli.burden import compare, journals_in

    journals = journals_in(journals)
    if burden or arms or picture is not None or len(journals) > 1 or len(rules or []) > 1:
        return compare(journals, rules or [], arms=arms, event_s=event_s, as_json=as_json, picture=picture)
    from edge.cli.records import replay_journal

    return replay_journal(journals[0], rules[0] if rules else None, as_json)


@app.command()
def verify(
    journal: Journal,
    key: Annotated[str | None, typer.Option(
        help="The edge's public key, or its .pub file, with those before it (edge.1.pub ...); default: edge.pub beside"
             " the journal.")] = None,
    against: Annotated[str | None, typer.Option(
        help="A console.db, or a database URL: what it has stored must be there, unchanged; so an end that was cut off"
             " is found.")] = None,
    head: Annotated[str | None, typer.Option(
        help="SEQ:HASH of an event that must be there, as noted elsewhere; or a file that [anchor] wrote.")] = None,
) -> int:
    """Check hash chain and signatures; 1 and the first bad record if they do not hold."""
    from edge.cli.records import verify_journal

    return verify_journal(journal, key, against, head)


@app.command()
def audit(
    console: Annotated[str, typer.Argument(help="console.db, or a database URL.")],
    user: Annotated[str | None, typer.Option(help="Print only what this one did.")] = None,
    head: Annotated[str | None, typer.Option(help="N:HASH of a line that must be there, as noted elsewhere.")] = None,
    against: Annotated[
        str | None, typer.Option(help="A journal: each command in it must have its line here.")] = None,
    noted: Annotated[Path | None, typer.Option(help="The console's console.db.audit, if not beside it.")] = None,
    as_json: Json = False,
) -> int:
    """Who did what through a console, and when; 1, with the first line that is not as it was written."""
    from edge.cli.audit import show_audit

    return show_audit(console, user=user, head=head, against=against, noted=noted, as_json=as_json)


@app.command("journal")
def journal_size(
    journal: Journal, as_json: Json = False,
    export: Annotated[
        Path | None, typer.Option(help="Write inputs from before --before into a file in this folder.")] = None,
    before: Annotated[str | None, typer.Option(help="A day (UTC), as in 2026-11-01; with --export.")] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Then let the journal go of them; with --export.")] = False,
) -> int:
    """How large a journal is, what it holds, and how fast it grows. With --export: inputs of long ago move into a file
    of their own, which is a journal (verify and replay take it); events stay, too."""
    from edge.cli.records import export_inputs, show_size

    if export is None and (before or drop):
        raise typer.BadParameter("--before and --drop are for --export DIR")
    if export is not None and before is None:
        raise typer.BadParameter("--export needs --before DAY, as in 2026-11-01")
    if export is not None and before is not None:
        return export_inputs(journal, export, before, drop, None)
    return show_size(journal, as_json)


@app.command()
def bench(
    seconds: Annotated[float, typer.Option(min=2, help="How long each size is measured.")] = 20.0,
    sizes: Annotated[str, typer.Option(help="Numbers of Modbus devices, each asked once a second.")] = "4,256",
    profile: Annotated[
        str, typer.Option(help="four-reads: an ISCO's four blocks a round; one-read: one block.")] = "four-reads",
    broker: Annotated[str, typer.Option(help="embedded, or mosquitto where it is installed.")] = "embedded",
    busy: Annotated[int, typer.Option(min=0, max=64, help="Neighbours that take a processor each.")] = 0,
    record: Annotated[
        str, typer.Option(help="What the edge keeps: full; plain: as 0.1.0; none. The difference is what it costs.")
    ] = "full",
    no_record: Annotated[bool, typer.Option("--no-record", help="The same as --record none.")] = False,
    core: Annotated[bool, typer.Option("--core", help="Only what judging costs: two hours, every rule.")] = False,
    mad: Annotated[bool, typer.Option("--mad", help="Also beside a bed whose devices are mad.")] = False,
    parsers: Annotated[bool, typer.Option("--parsers", help="Only what a byte costs each driver's framing.")] = False,
    as_json: Json = False,
) -> int:
    """The project's own benchmark: wire byte to MQTT subscriber and to page, CPU and memory of the edge."""
    from edge.demo.bench import Plan, run_bench
    from edge.demo.bench_core import run_core
    from edge.demo.bench_parsers import run_parsers

    if core:
        return run_core(as_json)
    if parsers:
        return run_parsers(as_json)
    numbers = tuple(int(size) if size.isdigit() else 0 for size in sizes.split(","))
    if not all(0 < number <= 1024 for number in numbers):
        raise typer.BadParameter(f"--sizes takes numbers from 1 to 1024 with commas, as in 4,256, not {sizes!r}")
    plan = Plan(numbers, seconds, profile, broker, busy, "none" if no_record else record)
    return run_bench(plan, as_json, mad)
