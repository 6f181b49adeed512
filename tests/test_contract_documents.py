"""The documents made from the contract say what the contract says: AsyncAPI, and the page's own view of it."""

from __future__ import annotations

from pathlib import Path

from edge.contract import asyncapi, typescript

ROOT = Path(__file__).parent.parent


def test_the_documents_say_what_the_types_say() -> None:
    for module, path in ((asyncapi, ROOT / "deploy" / "asyncapi.json"), (typescript, typescript.FILE)):
        assert path.read_text() == module.text(), f"run: python -m {module.__name__}"
