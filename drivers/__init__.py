"""The drivers: one file a device, found by being here (or by the entry-point group ``vigil.drivers``)."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points

from drivers.contract import Spec

GROUP = "vigil.drivers"


@cache
def find() -> dict[str, Spec]:
    """Every driver by name: the modules of this package that have a ``DRIVER``, then other packages' entry points.

    Raises ValueError where two drivers have the same name: a guess here could put one pump's words in another's mouth.
    """
    specs: list[Spec] = []
    for module in pkgutil.iter_modules(__path__):
        spec = getattr(importlib.import_module(f"{__name__}.{module.name}"), "DRIVER", None)
        if isinstance(spec, Spec):
            specs.append(spec)
    specs.extend(point.load() for point in entry_points(group=GROUP))
    found: dict[str, Spec] = {}
    for spec in specs:
        if spec.name in found:
            other = found[spec.name].title
            raise ValueError(f"two drivers are named {spec.name!r}: {other} and {spec.title}; rename one")
        found[spec.name] = spec
    return dict(sorted(found.items()))
