"""What is wrong now, each in words for a screen: what it is, and what a person does about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edge.console.access import Access
from edge.console.health import Trouble
from edge.console.ingest import Ingest
from edge.console.trust import WORDS
from edge.contract.clocks import SKEW_S
from edge.contract.payloads import Status
from edge.model import from_iso

# what a broker's refusal says (MQTT 3.1.1, 3.2.2.3 and 3.9.3, as our client writes it), and what to do
REFUSALS = (
    ("not authori", "Check user and password of [mqtt] in console.toml, and what the broker's access list and limits"
     " allow; its log says which."),
    ("user name or password", "Check user and password of [mqtt] in console.toml."),
    ("identifier", "Something else has this console's client id: look for a second console of this name."),
    ("refused the subscription", "The broker's access list must let this console read that topic."),
)
REFUSED_SHOWN_S = 60.0  # real seconds a refused message stands on the screen


def of_edge(ingest: Ingest, loop_s: float, now_s: float, speed: float) -> Iterator[Trouble]:
    """Everything that is wrong with one edge's messages, clock, name, record and commands."""
    edge, trust = ingest.edge, ingest.trust
    if trust.key is None:
        yield Trouble("signatures", edge, ingest.heartbeat.part.since_s, f"No key of {edge} is known here: nothing it"
                      " says is believed", f"Copy edge.pub of that box to keys/{edge}.pub in this console's data"
                      " folder, or name it in edge_keys of console.toml; then start the console again.")
    elif trust.last is not None and loop_s - trust.last.loop_s < REFUSED_SHOWN_S:
        yield Trouble("signatures", edge, trust.last.at_s, f"Messages refused in the name of {edge}: {trust.words()};"
                      f" the last one {WORDS[trust.last.reason]}, on {trust.last.topic}",
                      "Something else speaks on the broker, or the edge has a new key. Tell the technician; what was"
                      " refused is neither shown nor stored.")
    if not ingest.broker.ok and (refused := refusal(ingest.broker.reason or "")) is not None:
        yield Trouble("broker", edge, ingest.broker.since_s, f"The broker does not let this console in for {edge}:"
                      f" {ingest.broker.reason}", refused)
    if trust.two_boxes(loop_s):
        yield Trouble("boxes", edge, ingest.heartbeat.part.since_s, f"Two boxes call themselves {edge}",
                      "Switch off the one that is not at these beds, and give it a name and a key of its own.")
    skew_s = ingest.heartbeat.clock.skew_s(speed)
    if skew_s is not None and abs(skew_s) > SKEW_S:
        way = "ahead of" if skew_s > 0 else "behind"
        yield Trouble("clock", edge, now_s, f"The clock of {edge} is {abs(skew_s):g} s {way} this console's",
                      "Set the clock of the box or of this console (NTP). Commands work meanwhile: they carry the"
                      " edge's time.")
    record = ingest.judge_record()
    if not record.ok:
        yield Trouble("record", edge, record.since_s, f"The record of {edge} is not whole: {record.reason}",
                      "It is asked for again from the edge's journal by itself; if this stays, tell the technician.")
    if (held_s := ingest.lanes.held_since_s(loop_s)) is not None:
        yield Trouble("record", edge, now_s - (loop_s - held_s) * speed, f"{edge} sends more events than this console"
                      f" stores at once: {len(ingest.lanes)} wait here, more perhaps at the edge", "Numbers and alarms"
                      " go on. After a long outage this ends by itself. Else something at that edge, or somebody with"
                      " its key, sends without end, and fills the disk: tell the technician.")
    last = ingest.heartbeat.last
    if last is not None and ingest.heartbeat.part.ok:
        yield from _of_box(last, now_s)
    if not ingest.commands.ok:
        yield Trouble("commands", edge, ingest.commands.since_s, f"Commands do not get through to {edge}:"
                      f" {ingest.commands.reason}", "Acknowledge at the box; tell the technician.")
    yield from ingest.edge_said.troubles(edge, now_s, REFUSED_SHOWN_S * max(1.0, speed))


def _of_box(last: Status, now_s: float) -> Iterator[Trouble]:
    """What an edge says of its own box: record, disk, anchors, sound."""
    edge = last.edge
    if last.storage is not None:
        kept = f"{last.storage.events} events" + (
            f"; {last.storage.lost_inputs} readings are not kept" if last.storage.lost_inputs else "")
        yield Trouble("storage", edge, from_iso(last.storage.since), f"{edge} cannot write its record:"
                      f" {last.storage.reason}. Watching and alarms go on; in its memory alone: {kept}",
                      "Do not switch the box off. Free or mend its disk: what it keeps is then written by itself. Until"
                      " then write down by hand what matters.")
    if last.space is not None:
        days = "" if last.space.full_in_s is None else f", and is full in {last.space.full_in_s / 86_400:.1f} days"
        yield Trouble("space", edge, from_iso(last.space.since), f"The disk of {edge} is {last.space.used_pct:g} % full"
                      f"{days}", "Make room on it, or keep inputs for a shorter time (keep_inputs_days in edge.toml)."
                      " When it is full the edge goes on from memory.")
    if last.anchor is not None and last.anchor.state == "failing":
        yield Trouble("anchor", edge, from_iso(last.anchor.since) if last.anchor.since else now_s,
                      f"The heads of the record of {edge} are delivered nowhere: {last.anchor.reason}",
                      "Watching and the record go on. Mend the share or the server that [anchor] in edge.toml names.")
    yield from _of_reload(last)
    if last.sounder is not None and last.sounder.state == "failing":
        yield Trouble("sounder", edge, now_s, f"The box of {edge} cannot sound: {last.sounder.reason}",
                      "Keep a screen with sound at these beds; mend [sounder] in edge.toml, or the sound card.")


def _of_reload(last: Status) -> Iterator[Trouble]:
    """The edge's edge.toml was changed, and it does not go by it."""
    again = last.reload
    if again is not None and again.state == "refused":
        yield Trouble("configuration", last.edge, from_iso(again.at),
                      f"{last.edge} goes on with its old edge.toml; the new one is refused: {again.text}",
                      "Technician: correct that line, then systemctl reload vigil-edge.")
    elif again is not None and again.state == "restart":
        yield Trouble("configuration", last.edge, from_iso(again.at),
                      f"{last.edge} goes by its old configuration in part, until it is restarted: {again.text}",
                      "Technician: when no bed has a session, systemctl restart vigil-edge.")


def refusal(reason: str) -> str | None:
    """What to do where a broker is reached and refuses, by what it said; None: it is not reached."""
    said = reason.lower()
    return next((remedy for words, remedy in REFUSALS if words in said), None)


def of_aside(kept: Sequence[Path]) -> Iterator[Trouble]:
    """The console's own store was damaged or replaced, and goes on in a new file."""
    if kept:
        try:
            since_s = kept[-1].stat().st_mtime
        except OSError:  # moved away this moment
            return
        yield Trouble("store", None, since_s, "This console's store was damaged, or another file put in its place; it"
                      f" goes on in a new one, and what was there is kept as {kept[-1].name}", "Events are fetched"
                      " again from the edges by themselves; older trends may be lacking. Have its disk looked at, and"
                      " move the old file out of the data folder: this line then goes.")


def of_audit(lost: int, now_s: float) -> Iterator[Trouble]:
    """The store is an older one than this console's, or another."""
    if lost:
        yield Trouble("audit", None, now_s, f"{lost} lines of the audit were stored by this console, and are not there"
                      " any more: its store was overwritten, or put back from a backup", "Nothing to do where a backup"
                      " was restored. Otherwise tell whoever is responsible for the record: vigil audit shows after"
                      " which line. This goes when the console is started again.")


def of_accounts(access: Access, now_s: float) -> Iterator[Trouble]:
    """Accounts that cannot be believed."""
    if access.spoilt:
        yield Trouble("accounts", None, now_s, f"{access.spoilt} of this console's accounts are damaged, and in no copy"
                      " of them either", "Whoever cannot sign in needs a new password, from the technician, as the"
                      " console's user: vigil user --config console.toml NAME --role ROLE.")


def of_store(broken: str, since_s: float, access: Access) -> Trouble:
    """The console's own store does not work."""
    kept = f"; in its memory alone: {access.waiting} entries of what people did here" if access.waiting else ""
    lost = f"; {access.lost} are not kept" if access.lost else ""
    return Trouble("storage", None, since_s, f"This console cannot store: {broken}{kept}{lost}",
                   "Signing in, watching and acknowledging go on. Do not switch it off; free or mend its disk: what it"
                   " keeps is then stored, and what came meanwhile is asked for again.")
