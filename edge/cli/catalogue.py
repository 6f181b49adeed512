"""The verbs about drivers and ports: devices, ports."""

from __future__ import annotations

import json
from pathlib import Path

import drivers
from drivers.contract import FrameRequest, Request, Spec
from edge.process import BadUsage

BY_ID = Path("/dev/serial/by-id")


def list_devices(name: str | None, as_json: bool) -> int:
    """`vigil devices`: every driver, or one driver's wiring card."""
    found = drivers.find()
    if name is None:
        if as_json:
            print(json.dumps([_row(spec) for spec in found.values()]))
        else:
            for spec in found.values():
                print(f"{spec.name:20} {spec.kind:9} {', '.join(spec.transports):24} grade {spec.grade:6} {spec.title}")
        return 0
    if name not in found:
        raise BadUsage(f"no driver is named {name!r}; there are {', '.join(found)}")
    print(json.dumps(_row(found[name])) if as_json else _card(found[name]))
    return 0


def _row(spec: Spec) -> dict[str, object]:
    return {
        "name": spec.name, "title": spec.title, "kind": spec.kind, "transports": list(spec.transports),
        "grade": spec.grade, "source": spec.source, "metrics": sorted(spec.metrics),
        "requests": [_request(request) for request in spec.requests],
        "says": [_request(request) for request in spec.requests],  # its name in 0.1.0
        "settings": {key: {"default": s.default, "help": s.help, "choices": list(s.choices)}
                     for key, s in spec.settings.items()},
    }


def _request(request: Request) -> dict[str, object]:
    plain: dict[str, object] = {"name": request.name, "effect": request.effect}
    if isinstance(request, FrameRequest):
        return plain | {"hex": request.frame.hex(" ")}
    return plain | {"function": request.function, "address": request.address, "count": request.count}


def _request_line(request: Request) -> str:
    what = request.frame.hex(" ") if isinstance(request, FrameRequest) else (
        f"function {request.function}, {request.count} from {request.address}")
    return f"  {request.name:16} {request.effect:11} {what}"


def _card(spec: Spec) -> str:
    line = spec.line
    requests = "\n".join(_request_line(request) for request in spec.requests) or "  nothing"
    settings = "\n".join(
        f"  {key} = {s.default!r}  {s.help}" + (f" ({', '.join(s.choices)})" if s.choices else "")
        for key, s in spec.settings.items()) or "  none"
    return (f"{spec.title} ({spec.name})\nkind {spec.kind}; {', '.join(spec.transports)}; "
            f"{line.baud} {line.bits}{line.parity}{line.stop}\nevidence: grade {spec.grade}; {spec.source}\n"
            f"wiring: {spec.wiring}\nnumbers: {', '.join(sorted(spec.metrics))}\nsettings:\n{settings}\n"
            f"every request it can send to the device, and its effect there:\n{requests}")


def list_ports(as_json: bool) -> int:
    """`vigil ports`: serial ports by their own identity, which survives replugging and reboots."""
    from serial.tools.list_ports import comports

    stable = {str(link.resolve()): str(link) for link in sorted(BY_ID.glob("*"))} if BY_ID.is_dir() else {}
    rows = [{"port": stable.get(port.device, port.device), "device": port.device, "what": port.description,
             "serial": port.serial_number} for port in sorted(comports())]
    if as_json:
        print(json.dumps(rows))
    elif not rows:
        print("no serial ports; plug an adapter in, or give the terminal server's address as tcp://host:port")
    for row in rows if not as_json else []:
        print(f"{row['port']}  {row['device']}  {row['what']}  {row['serial'] or 'no serial number'}")
    return 0
