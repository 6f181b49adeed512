"""The simulators: a twin for every device, the simulated patient, and the wire with its faults."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points

from simulators.contract import TwinSpec

GROUP = "vigil.twins"


@cache
def find() -> dict[str, TwinSpec]:
    """Every twin by its driver's name: this package's modules with a ``TWIN``, then other packages' entry points.

    Raises ValueError where two twins have the same name.
    """
    specs: list[TwinSpec] = []
    for module in pkgutil.iter_modules(__path__):
        spec = getattr(importlib.import_module(f"{__name__}.{module.name}"), "TWIN", None)
        if isinstance(spec, TwinSpec):
            specs.append(spec)
    specs.extend(point.load() for point in entry_points(group=GROUP))
    found: dict[str, TwinSpec] = {}
    for spec in specs:
        if spec.name in found:
            raise ValueError(f"two twins are named {spec.name!r}; rename one")
        found[spec.name] = spec
    return dict(sorted(found.items()))
