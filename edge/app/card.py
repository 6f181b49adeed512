"""A driver's wiring card, as `vigil devices NAME` and the devices page show it."""

from __future__ import annotations

from pathlib import Path

import drivers
from drivers.contract import FrameRequest, Heard, Request, Spec, Weak
from edge.app.scale import Criterion, reports_in, scale_of
from edge.vocabulary import METRICS

OWN = "own"  # in the place of a level: the driver is not of this repository


def criteria(spec: Spec, accepted: Path | None = None) -> tuple[Criterion, ...]:
    """What the scale says of a driver of this repository; nothing of a clinic's own."""
    ours = drivers.find().get(spec.name)
    same = ours is not None and ours.requests == spec.requests
    return scale_of(spec.name, accepted=accepted).criteria if same else ()


def level(spec: Spec, accepted: Path | None = None) -> str:
    """Bronze to platinum, "none", or OWN."""
    return scale_of(spec.name, accepted=accepted).level if criteria(spec) else OWN


def card(spec: Spec, accepted: Path | None = None) -> str:
    """Line, cable, menu, limits, settings, every request and its effect, and where it stands on the scale; `accepted`
    is a folder of acceptance reports."""
    line = spec.line
    requests = "\n".join(_request(request) for request in spec.requests) or "  nothing"
    settings = "\n".join(
        f"  {key} = {s.default!r}  {s.help}" + (f" ({', '.join(s.choices)})" if s.choices else "")
        for key, s in spec.settings.items()) or "  none"
    return (f"{spec.title} ({spec.name})\nkind {spec.kind}; {', '.join(spec.transports)}; "
            f"{line.baud} {line.bits}{line.parity}{line.stop}\nevidence: grade {spec.grade}; {spec.source}\n"
            f"wiring:\n{_indented(spec.wiring)}\n{lets_through(spec.weak)}{shows_age(spec)}{tells_apart(spec)}"
            f"numbers: {', '.join(sorted(spec.metrics))}\nsettings:\n{settings}\n"
            f"every request it can send to the device, and its effect there:\n{requests}\n"
            f"scale: {level(spec, accepted)}, by these files\n{_scale(spec, accepted)}{_reports(spec, accepted)}")


def lets_through(weak: Weak | None) -> str:
    """What a wire that hurts bytes can get past the line's check, in one sentence; empty where nothing is known to."""
    if weak is None:
        return ""
    near = [f"{METRICS[metric].label} within {far:g} {METRICS[metric].unit} of the last" for metric, far in
            weak.near.items()]
    volume = ["a volume that the pump could have come to from the last"] if weak.volume else []
    wave = ["its wave"] if weak.wave else []
    alike = [f"any number that is hurt in the same way in {weak.alike} frames running"] if weak.alike else []
    said = "; ".join(near + volume + wave + alike)
    return f"what a bad wire can get through: {weak.check}, so a hurt number can pass for a new one: {said}\n"


def shows_age(spec: Spec) -> str:
    """What shows how old a number is, in one sentence."""
    if isinstance(spec.driver(), Heard):
        said = "the device's own time, but not by how much a line was late from its first opening on"
    elif spec.line.stream_bytes_s:
        said = "nothing: what comes steadily late" + ("" if spec.age else ", or again and again,") + " counts as of now"
        said += ", and what was held up once it catches up by less than 5 %"
        said += f"; that it comes again and again, {spec.age}" if spec.age else ""
    else:
        said = f"when it was asked for; that an old answer comes again, {spec.age or 'nothing'}"
    return f"what shows how old a number is: {said}\n"


def tells_apart(spec: Spec) -> str:
    """What tells its answers from those of another such device, in one sentence."""
    said = {
        "always": "its serial number, which comes with its numbers",
        "opening": "its serial number, asked for at each opening; one that takes its place meanwhile counts",
        "": "nothing: whole answers of another one on this line count as its own",
    }[spec.names_itself]
    return f"what tells it from another such device: {said}\n"


def _request(request: Request) -> str:
    what = request.frame.hex(" ") if isinstance(request, FrameRequest) else (
        f"function {request.function}, {request.count} from {request.address}")
    return f"  {request.name:16} {request.effect:11} {what}"


def _scale(spec: Spec, accepted: Path | None) -> str:
    lines = [f"  {one.level:9} {'yes' if one.met else 'no ':3} {one.name}" + (f": {one.why}" if one.why else "")
             for one in criteria(spec, accepted)]
    return "\n".join(lines) or "  a driver of the clinic's own: not on the scale"


def _reports(spec: Spec, accepted: Path | None) -> str:
    """What this clinic's devices were found to be."""
    kept = reports_in(accepted, spec.name) if accepted is not None else []
    return "".join(
        f"\nreport: {path.name}: {'FIT' if one.fit else 'NOT FIT'}, {one.began}, {one.seconds / 60:.3g} min"
        + (f", {one.identity}" if one.identity else "") for path, one in kept)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
