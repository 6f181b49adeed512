"""Accounts of a console: the roles there are, who manages accounts, and what a name and a password must be. For the
command line, HTTP and the page.
"""

from __future__ import annotations

from typing import get_args

from edge.contract.seen import is_seen
from edge.model import Role

ROLES: tuple[Role, ...] = get_args(Role)
ADMINISTRATOR: Role = "administrator"  # makes, disables and audits accounts, and sees and does nothing clinical
MAX_NAME = 64  # characters
MIN_PASSWORD, MAX_PASSWORD = 10, 256


def name_objection(name: str) -> str | None:
    """Why nobody can log in under this name, in one line."""
    if 1 <= len(name) <= MAX_NAME and all(map(is_seen, name)):
        return None
    return f"no name for an account: {name[:MAX_NAME]!r}: write 1 to {MAX_NAME} printable characters"


def password_objection(password: str) -> str | None:
    """Why this is no password, in one line; it never says the password."""
    if len(password) < MIN_PASSWORD:
        return f"a password needs at least {MIN_PASSWORD} characters"
    return f"a password has at most {MAX_PASSWORD} characters" if len(password) > MAX_PASSWORD else None
