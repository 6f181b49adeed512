"""The verb about drivers: `vigil devices`."""

from __future__ import annotations

import difflib
import json
from pathlib import Path

import drivers
from drivers.contract import FrameRequest, Request, Spec
from drivers.modbus_map import spec_of
from edge.app.card import card, criteria, level
from edge.config.files import MAPPED
from edge.process import BadUsage
from edge.vocabulary import METRICS, Metric

ANY_MODBUS = "any Modbus device, from a register map in TOML"
HOW = """\
1. Copy deploy/modbus_map.example.toml and write what the device's manual says: one [[value]] for each number.
2. vigil devices device.toml       checks it, line by line, and shows every request it leads to
   vigil simulate device.toml      a twin of the device, made from the same map
   vigil check PORT --driver device.toml
3. In edge.toml: driver = "modbus_map" and map = "device.toml" at the device. Or put the file into the folder of
   [edge] drivers: then it is a driver of its own name."""


def find_drivers(folder: Path | None) -> dict[str, Spec]:
    """Every driver, with the clinic's own in `folder`. Raises BadUsage."""
    try:
        found = drivers.find(folder)
    except ValueError as wrong:
        raise BadUsage(str(wrong)) from None
    for spec in found.values():
        _knows_metrics(spec)
    return found


def _knows_metrics(spec: Spec) -> None:
    """Raises BadUsage where its numbers have another name than Vigil's."""
    for unknown in sorted(spec.metrics - set(METRICS)):
        near = difflib.get_close_matches(unknown, METRICS, n=1)
        raise BadUsage(f"{spec.defined_at.get(unknown, f'driver {spec.name!r}')}: no metric {unknown!r}; "
                       + (f"did you mean {near[0]!r}? " if near else "") + f"there are {', '.join(METRICS)}")


def find_driver(name: str, folder: Path | None) -> Spec:
    """The driver of this name; a name that ends in .toml is a register map's path. Raises BadUsage."""
    if name.endswith(".toml"):
        try:
            spec = spec_of(Path(name))
        except ValueError as wrong:
            raise BadUsage(str(wrong)) from None
        _knows_metrics(spec)
        return spec
    found = find_drivers(folder)
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        raise BadUsage(f"no driver is named {name!r}; " + (f"did you mean {near[0]!r}? " if near else "")
                       + f"there are {', '.join(found)}, and any register map's path, as in pump.toml")
    return found[name]


def list_devices(name: str | None, as_json: bool, folder: Path | None = None, accepted: Path | None = None) -> int:
    """`vigil devices`: every driver, or one driver's wiring card; `accepted` is a folder of the clinic's acceptance
    reports. Raises BadUsage."""
    if accepted is not None and not accepted.is_dir():
        raise BadUsage(f"--reports {accepted}: no such folder; vigil check ... --reports {accepted} makes it")
    if name == MAPPED:
        print(json.dumps({"name": MAPPED, "title": ANY_MODBUS, "map": HOW}) if as_json else f"{ANY_MODBUS}\n{HOW}")
        return 0
    if name is None:
        found = find_drivers(folder)
        if as_json:
            print(json.dumps([_row(spec, accepted) for spec in found.values()]))
        else:
            for spec in found.values():
                print(f"{spec.name:20} {spec.kind:9} {', '.join(spec.transports):24} {level(spec, accepted):8} grade"
                      f" {spec.grade:6} {spec.title}")
            print(f"{MAPPED:20} {'any':9} {'modbus+tcp, modbus+rtu':24} {'':8} {'':12} {ANY_MODBUS}:"
                  f" vigil devices {MAPPED}")
        return 0
    spec = find_driver(name, folder)
    print(json.dumps(_row(spec, accepted)) if as_json else card(spec, accepted))
    return 0


def _row(spec: Spec, accepted: Path | None) -> dict[str, object]:
    return {
        "name": spec.name, "title": spec.title, "kind": spec.kind, "transports": list(spec.transports),
        "scale": level(spec, accepted), "criteria": [
            {"level": one.level, "name": one.name, "met": one.met, "missing": one.why}
            for one in criteria(spec, accepted)],
        "grade": spec.grade, "source": spec.source, "metrics": sorted(spec.metrics),
        "codes": {key: _codes(METRICS[key]) for key in sorted(spec.metrics)},
        "requests": [_request(request) for request in spec.requests],
        "says": [_request(request) for request in spec.requests],  # its name in 0.1.0
        "settings": {key: {"default": s.default, "help": s.help, "choices": list(s.choices)}
                     for key, s in spec.settings.items()},
    }


def _codes(metric: Metric) -> dict[str, object]:
    """What a metric is called in the standards: UCUM's unit, IEEE 11073-10101's code, LOINC's; null: not known."""
    return {"ucum": metric.ucum, "mdc": metric.mdc, "loinc": metric.loinc}


def _request(request: Request) -> dict[str, object]:
    plain: dict[str, object] = {"name": request.name, "effect": request.effect}
    if isinstance(request, FrameRequest):
        return plain | {"hex": request.frame.hex(" ")}
    return plain | {"function": request.function, "address": request.address, "count": request.count}
