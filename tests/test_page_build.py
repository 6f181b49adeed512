"""Holds the building of the console's page: needless builds skipped, failed ones harmless, a lock without hosts."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from edge.console.web import build_page

WEB = build_page.WEB


def sources(folder: Path) -> Path:
    """A page of three files with a test, packages and a lock."""
    web = folder / "web"
    for name, text in {"index.html": "<p>", "src/main.tsx": "1", "test/a.test.ts": "2", "node_modules/x/y.js": "3",
                       "package-lock.json": "{}"}.items():
        (web / name).parent.mkdir(parents=True, exist_ok=True)
        (web / name).write_text(text)
    return web


@pytest.mark.parametrize(("name", "moves"), [
    ("src/main.tsx", True), ("src/new.ts", True), ("package-lock.json", True), ("test/a.test.ts", False),
    ("node_modules/x/y.js", False),
])
def test_the_stamp_moves_with_what_reaches_the_page_and_nothing_else(tmp_path: Path, name: str, moves: bool) -> None:
    web = sources(tmp_path)
    before = build_page.content_stamp(web)
    (web / name).write_text("changed")
    assert (build_page.content_stamp(web) != before) is moves


def test_the_stamp_is_of_content_and_names_not_of_places(tmp_path: Path) -> None:
    assert build_page.content_stamp(sources(tmp_path / "a")) == build_page.content_stamp(sources(tmp_path / "b"))


def test_a_current_page_is_not_built_and_needs_no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web, static = sources(tmp_path), tmp_path / "static"
    static.mkdir()
    (static / "index.html").write_text("<p>")
    (static / build_page.STAMP).write_text(build_page.content_stamp(web))
    monkeypatch.setattr(build_page, "node", lambda *a, **k: pytest.fail("Node was called"))
    assert build_page.build(static, web) is False


def test_a_failed_build_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web, static = sources(tmp_path), tmp_path / "static"
    static.mkdir()
    (static / "index.html").write_text("old")

    def broken(*arguments: str, **more: object) -> None:
        raise build_page.PageNotBuilt("no")

    monkeypatch.setattr(build_page, "node", broken)
    with pytest.raises(build_page.PageNotBuilt):
        build_page.build(static, web)
    assert (static / "index.html").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["static", "web"]


def test_the_lock_names_versions_and_hashes_and_no_host() -> None:
    text = (WEB / "package-lock.json").read_text()
    assert "resolved" not in text
    packages = {name: entry for name, entry in json.loads(text)["packages"].items() if name}
    assert packages
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    assert "omit-lockfile-registry-resolved=true" in (WEB / ".npmrc").read_text()


def test_no_source_of_the_page_names_a_host_or_runs_code_of_a_string() -> None:
    for path in [*WEB.glob("src/**/*"), WEB / "index.html", WEB / "build_page.py"]:
        if path.is_file():
            found = re.search(r"https?://|dangerouslySetInnerHTML|innerHTML|eval\(|new Function", path.read_text())
            assert found is None, f"{path.name}: {found}"


def test_no_file_of_the_page_is_longer_than_400_lines() -> None:
    long = {path.name: len(path.read_text().splitlines()) for path in WEB.glob("src/**/*")
            if path.is_file() and path.name != "contract.ts"}  # which is generated
    assert {name: lines for name, lines in long.items() if lines > 400} == {}


@pytest.mark.slow
def test_the_page_builds_small_and_without_inline_code(tmp_path: Path) -> None:
    static = tmp_path / "static"
    assert build_page.build(static) is True
    assert build_page.is_current(static)
    index = (static / "index.html").read_text()
    assert re.search(r"<script(?![^>]*src=)|<style|\son\w+=", index) is None
    files = [path for path in static.rglob("*") if path.is_file() and path.suffix != ".gz"]
    later = {name: list(static.rglob(f"{name}-*")) for name in ("simulation", "devices", "accounts", "events")}
    found = {name: len(paths) for name, paths in later.items()}
    assert found == {"simulation": 4, "devices": 4, "accounts": 4, "events": 2}, "not a nurse's, or not from the start"
    apart = {path for paths in later.values() for path in paths}
    assert sum(path.stat().st_size for path in files if path not in apart) < 213_000
    assert sum(path.stat().st_size for path in static.rglob("*.gz") if path not in apart) < 74_000  # a browser loads it
    gz = {name: sum(path.stat().st_size for path in paths if path.suffix == ".gz") for name, paths in later.items()}
    assert gz["simulation"] + gz["devices"] < 8_000 and gz["accounts"] < 3_000 and gz["events"] < 4_000
    assert all(gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes()) == path.read_bytes()
               for path in files if path.name != build_page.STAMP)
    assert build_page.build(static) is False


@pytest.mark.slow
def test_the_page_is_typed_and_linted() -> None:
    build_page.install_packages(everything=True)
    build_page.node("node_modules/typescript/bin/tsc", "--noEmit")
    build_page.node("node_modules/oxlint/bin/oxlint", "--deny-warnings", "src", "test", "vite.config.ts")


@pytest.mark.parametrize(("installed", "everything", "asks"), [
    ("", False, True), ("lock", False, False), ("lock", True, True), ("lock everything", False, False),
    ("lock everything", True, False), ("other", False, True)])
def test_packages_are_installed_once_and_what_only_checks_the_page_only_for_checking(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str, everything: bool, asks: bool) -> None:
    web = sources(tmp_path)
    lock = hashlib.sha256((web / "package-lock.json").read_bytes()).hexdigest()
    if installed:
        (web / "node_modules" / build_page.STAMP).write_text(installed.replace("lock", lock))
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(build_page, "node", lambda *arguments, **more: asked.append(arguments))
    build_page.install_packages(web, everything=everything)
    assert bool(asked) is asks
    assert all(("--omit=dev" in arguments) is not everything for arguments in asked)


@pytest.mark.slow
def test_the_pages_own_tests() -> None:
    tests = sorted(str(path.relative_to(WEB)) for path in WEB.glob("test/*.test.ts"))
    assert len(tests) >= 3
    build_page.node("--test", *tests)
