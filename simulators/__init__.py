"""The simulators: a twin for every device, the simulated patient, and the wire with its faults."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

import drivers
from drivers.loading import from_entry_points, from_folder, maps_in
from simulators.contract import TwinSpec

GROUP = "vigil.twins"


@cache
def find(folder: Path | None = None) -> dict[str, TwinSpec]:
    """Every twin by its driver's name: what this package has as ``TWIN``, the modules of `folder`, and other packages'
    entry points (``vigil.twins``). A register map is a twin too.

    Raises ValueError with one line for a faulty file, and where two have the same name.
    """
    from simulators.modbus_map import twin_of  # and pymodbus: 0.2 s, which a command without a twin need not wait for

    specs: list[tuple[TwinSpec, str]] = []
    for module in pkgutil.iter_modules(__path__):
        spec = getattr(importlib.import_module(f"{__name__}.{module.name}"), "TWIN", None)
        if isinstance(spec, TwinSpec):
            specs.append((spec, f"{__name__}.{module.name}"))
    specs += [(twin_of(path), str(path)) for path in maps_in(Path(drivers.__path__[0]))]
    if folder is not None:
        specs += [(spec, str(path)) for spec, path in from_folder(folder, "TWIN", TwinSpec)]
        specs += [(twin_of(path), str(path)) for path in maps_in(folder)]
    specs += from_entry_points(GROUP, TwinSpec)
    found: dict[str, tuple[TwinSpec, str]] = {}
    for spec, where in specs:
        if spec.name in found:
            raise ValueError(f"{where}: a twin is named {spec.name!r} already, in {found[spec.name][1]}; rename one")
        found[spec.name] = spec, where
    return {name: spec for name, (spec, _) in sorted(found.items())}
