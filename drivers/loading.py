"""Drivers and twins of others: from a folder, or from a package with an entry point. One line names a faulty one."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# What a module's own statements may raise while it is loaded. Whatever else it does is a bug worth its traceback.
FAULTS = (SyntaxError, ImportError, NameError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError,
          AssertionError, OSError, NotImplementedError, RuntimeError)


def maps_in(folder: Path) -> list[Path]:
    """The register maps in `folder`: a device each, as data. Those that begin with _ or . are none."""
    return [path for path in sorted(folder.glob("*.toml")) if not path.name.startswith(("_", "."))]


def from_folder(folder: Path, name: str, wanted: type[T]) -> Iterator[tuple[T, Path]]:
    """What the modules and packages in `folder` call `name`, each with its file. Those that begin with _ are helpers.

    Raises ValueError with one line that names file and line of the first faulty one.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ValueError(f"{folder}: cannot be read ({error.strerror}); name a folder that is there") from None
    for path in entries:
        module = path / "__init__.py" if path.is_dir() else path
        if path.name.startswith(("_", ".")) or module.suffix != ".py" or not module.is_file():
            continue
        found = _loaded(module, path.stem, folder, name)
        if not isinstance(found, wanted):
            raise ValueError(f"{module}: has no {name} = {wanted.__name__}(...); write one, or begin the file's name"
                             " with _ if it only helps others")
        yield found, module


def from_entry_points(group: str, wanted: type[T]) -> Iterator[tuple[T, str]]:
    """What installed packages offer in this entry-point group, each with where it is. Raises ValueError, one line."""
    for point in entry_points(group=group):
        where = f"entry point {point.name} = {point.value}"
        try:
            found = point.load()
        except FAULTS as fault:
            raise ValueError(f"{where}: {type(fault).__name__}: {fault}; mend or remove the package") from None
        if not isinstance(found, wanted):
            raise ValueError(f"{where}: is no {wanted.__name__}; mend or remove the package")
        yield found, where


def made(make: Callable[[], object], module: Path, folder: Path) -> None:
    """Makes what this module offers, once, so that a fault in it shows when the folder is read and not at a bed.

    Raises ValueError with one line that names file and line.
    """
    try:
        make()
    except FAULTS as fault:
        raise ValueError(f"{_place(fault, folder) or module}: {type(fault).__name__}: {_words(fault)}") from None


def _loaded(module: Path, stem: str, folder: Path, name: str) -> object:
    spec = importlib.util.spec_from_file_location(
        f"vigil_{name.lower()}_{stem}", module,
        submodule_search_locations=[str(module.parent)] if module.name == "__init__.py" else None)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(made)
    except FAULTS as fault:
        raise ValueError(f"{_place(fault, folder) or module}: {type(fault).__name__}: {_words(fault)}") from None
    return getattr(made, name, None)


def _place(fault: BaseException, folder: Path) -> str:
    """`file:line` of the last statement in the folder that led there."""
    if isinstance(fault, SyntaxError) and fault.filename:
        return f"{fault.filename}:{fault.lineno}"
    frames = [frame for frame in traceback.extract_tb(fault.__traceback__)
              if Path(frame.filename).is_relative_to(folder)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _words(fault: BaseException) -> str:
    return (fault.msg if isinstance(fault, SyntaxError) else str(fault)).splitlines()[0] if str(fault) else "no words"
