"""The verbs about drivers and ports: devices, ports."""

from __future__ import annotations

import json
from pathlib import Path

import drivers
from drivers.contract import Read, Say, Spec
from edge.cli.process import BadUsage

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
        "says": [_said(question) for question in spec.says],
        "settings": {key: {"default": s.default, "help": s.help, "choices": list(s.choices)}
                     for key, s in spec.settings.items()},
    }


def _said(question: Say | Read) -> dict[str, object]:
    if isinstance(question, Say):
        return {"name": question.name, "hex": question.frame.hex(" ")}
    return {"name": question.name, "function": question.function, "address": question.address, "count": question.count}


def _card(spec: Spec) -> str:
    line = spec.line
    says = "\n".join(f"  {row['name']}: {row.get('hex') or 'read ' + str(row['function'])}" for row in
                     (_said(question) for question in spec.says)) or "  nothing"
    settings = "\n".join(
        f"  {key} = {s.default!r}  {s.help}" + (f" ({', '.join(s.choices)})" if s.choices else "")
        for key, s in spec.settings.items()) or "  none"
    return (f"{spec.title} ({spec.name})\nkind {spec.kind}; {', '.join(spec.transports)}; "
            f"{line.baud} {line.bits}{line.parity}{line.stop}\nevidence: grade {spec.grade}; {spec.source}\n"
            f"wiring: {spec.wiring}\nnumbers: {', '.join(sorted(spec.metrics))}\nsettings:\n{settings}\n"
            f"everything it can ever say to the device:\n{says}")


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
