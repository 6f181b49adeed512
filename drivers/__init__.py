"""The drivers: found by being here, in a folder the clinic names, or in a package (entry points ``vigil.drivers``).

A driver is a module with ``DRIVER``, or a register map (``*.toml``) of drivers.modbus_map."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from typing import get_args

from drivers.contract import Effect, Spec
from drivers.loading import from_entry_points, from_folder, made, maps_in
from drivers.modbus_map import spec_of

GROUP = "vigil.drivers"
OF_A_PUMP = {"identify", "read", "stop_pump"}


@cache
def find(folder: Path | None = None, maps: tuple[Path, ...] = ()) -> dict[str, Spec]:
    """Every driver by name: what this package has as ``DRIVER``, the modules of `folder`, other packages' entry points;
    register maps of both; and, each by its path, the register maps named in `maps`.

    Raises ValueError with one line for a faulty file, a pump's driver that does more than read and stop, and where
    two drivers have the same name: a guess here could put one pump's values in another's mouth.
    """
    specs: list[tuple[Spec, str]] = []
    for module in pkgutil.iter_modules(__path__):
        spec = getattr(importlib.import_module(f"{__name__}.{module.name}"), "DRIVER", None)
        if isinstance(spec, Spec):
            specs.append((spec, f"{__name__}.{module.name}"))
    specs += [(spec_of(path), str(path)) for path in maps_in(Path(__path__[0]))]
    if folder is not None:
        for spec, path in from_folder(folder, "DRIVER", Spec):
            made(spec.driver, path, folder)
            specs.append((spec, str(path)))
        specs += [(spec_of(path), str(path)) for path in maps_in(folder)]
    specs += from_entry_points(GROUP, Spec)
    found: dict[str, tuple[Spec, str]] = {}
    for spec, where in specs:
        _check(spec, where)
        if spec.name in found:
            raise ValueError(f"{where}: a driver is named {spec.name!r} already, in {found[spec.name][1]}; rename one")
        found[spec.name] = spec, where
    return {name: spec for name, (spec, _) in sorted(found.items())} | {str(path): spec_of(path) for path in maps}


def _check(spec: Spec, where: str) -> None:
    """The law over what is sent. Raises ValueError."""
    for request in spec.requests:
        effect = getattr(request, "effect", None)
        if effect not in get_args(Effect):
            raise ValueError(f"{where}: request {request.name!r} has effect {effect!r}; write one of"
                             f" {', '.join(get_args(Effect))}")
        if spec.kind == "pump" and effect not in OF_A_PUMP:
            raise ValueError(f"{where}: request {request.name!r} to a pump has effect {effect!r}; a pump is only read,"
                             " or stopped")
        if effect == "stop_pump" and not spec.stops_pump:
            raise ValueError(f"{where}: request {request.name!r} stops a pump, and the driver has no stop(asked_s,"
                             " until_s); write one (drivers.contract.StopDriver), for a pump")
