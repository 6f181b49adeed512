"""Who may connect to the embedded broker and what each may read and write, in mosquitto's own words.

The password file has a line `user:hash` a user (Argon2, as pwdlib makes it). The access file has mosquitto's form, so
that one list serves both brokers: `user NAME`, then `topic read|write|readwrite FILTER` for each right of that user.
Rights before the first user are of who gives no name; where there are none, nobody without a password is let in.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pwdlib import PasswordHash
from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher

from edge.contract.broker_said import REFUSED_TOPIC
from edge.contract.topics import event_topic

Right = Literal["read", "write"]
EVENTS = event_topic("+")  # of all edges
ANYTHING: dict[Right, tuple[str, ...]] = {"read": ("#",), "write": ("#",)}


class BadAccess(ValueError):
    """A password or access file cannot be used; one line that says where and what to write."""


def covers(allowed: str, wanted: str) -> bool:
    """Whether the filter `allowed` takes in everything that the topic or filter `wanted` does."""
    have, want = allowed.split("/"), wanted.split("/")
    for number, level in enumerate(have):
        if level == "#":
            return not wanted.startswith("$")
        if number == len(want) or want[number] == "#" or (level != want[number] and level != "+"):
            return False
    return len(have) == len(want)


def meets(one: str, other: str) -> bool:
    """Whether some topic is taken in by both filters."""
    these, those = one.split("/"), other.split("/")
    for this, that in zip(these, those, strict=False):
        if "#" in (this, that):
            return True
        if this != that and "+" not in (this, that):
            return False
    return len(these) == len(those)


@dataclass(frozen=True, slots=True)
class Access:
    """Passwords' hashes and rights by user. No passwords: anybody is let in. No rights: each may do anything."""

    hashes: Mapping[str, str] = field(default_factory=dict)
    rights: Mapping[str, Mapping[Right, tuple[str, ...]]] | None = None

    def known(self, user: str | None, password: str | None) -> bool:
        """Whether this is that user. Blocks for as long as its hash costs."""
        if not self.hashes:
            return True
        if user is None and password is None:
            return bool(self.rights and self.rights.get(""))
        if user is None or password is None or user not in self.hashes:
            return False
        try:
            return _HASHING.verify(password, self.hashes[user])
        except PwdlibError:  # the file holds no hash for it
            return False

    def may(self, user: str | None, right: Right, topic: str) -> bool:
        """Whether `user` has this right on the whole of a topic or filter.

        What begins with $ is the broker's own: nobody writes it. What it has refused tells of every user, so it is read
        by who has shown who he is and may read what edges record; an edge may not.
        """
        if topic == REFUSED_TOPIC and right == "read":
            return (user is not None or not self.hashes) and self.may_some(user, "read", EVENTS)
        if topic.startswith("$") and right == "write":
            return False
        return any(covers(allowed, topic) for allowed in self._of(user, right))

    def may_some(self, user: str | None, right: Right, topics: str) -> bool:
        """Whether `user` has this right on one of the topics of a filter at least."""
        return any(meets(allowed, topics) for allowed in self._of(user, right))

    def _of(self, user: str | None, right: Right) -> tuple[str, ...]:
        rights = ANYTHING if self.rights is None else self.rights.get(user or "", {})
        return tuple(rights.get(right, ()))


_HASHING = PasswordHash((Argon2Hasher(),))
# What `made_users` hands out are 32 random bytes, which no amount of hashing makes safer.
_RANDOM = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1),))


def read_access(passwords: Path | None, access: Path | None) -> Access:
    """Both files as they are now. Raises BadAccess."""
    hashes: dict[str, str] = {}
    for number, line in _lines(passwords, "password file", "one line user:argon2-hash a user"):
        user, colon, hashed = line.partition(":")
        if not colon or not user or not hashed:
            raise BadAccess(f"{passwords}:{number}: {line!r} is no user; write user:argon2-hash")
        hashes[user] = hashed
    return Access(hashes, None if access is None else _rights(access))


def _rights(path: Path) -> dict[str, dict[Right, tuple[str, ...]]]:
    rights: dict[str, dict[Right, tuple[str, ...]]] = {}
    user = ""
    for number, line in _lines(path, "access file", "user NAME, then topic read|write FILTER"):
        words = line.split()
        if words[0] == "user" and len(words) == 2:
            user = words[1]
            rights.setdefault(user, {"read": (), "write": ()})
        elif words[0] == "topic" and len(words) == 3 and words[1] in ("read", "write", "readwrite"):
            for right in ("read", "write") if words[1] == "readwrite" else (words[1],):
                of_user = rights.setdefault(user, {"read": (), "write": ()})
                of_user[right] = (*of_user[right], words[2])
        else:
            raise BadAccess(f"{path}:{number}: {line!r}; write user NAME, or below one topic read|write FILTER")
    return rights


def _lines(path: Path | None, what: str, write: str) -> list[tuple[int, str]]:
    if path is None:
        return []
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        raise BadAccess(f"there is no {what} {path}; write {write}") from None
    stripped = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in stripped if line and not line.startswith("#")]


# --- for who sets up a broker -----------------------------------------------------------------------------------------


def made_users(names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """The text of a password file for `names`, and each one's new random password."""
    passwords = {name: secrets.token_urlsafe(32) for name in names}
    return "".join(f"{name}:{_RANDOM.hash(password)}\n" for name, password in passwords.items()), passwords


def access_text(
    edges: Mapping[str, Iterable[str]], observers: Iterable[str] = (), *, anonymous: bool = False
) -> str:
    """The text of an access file: each edge (user `edge-NAME`) writes what is its own; each of its consoles (user
    `console-NAME`) reads it and writes commands, its acks and its will; observers read everything.

    `anonymous`: who gives no name reads everything and may send commands, which say by their signature whose they are.
    """
    lines: list[str] = []
    if anonymous:
        lines += ["topic read vigil/1/#", *(f"topic write vigil/1/{edge}/command" for edge in edges)]
    consoles: dict[str, list[str]] = {}
    for edge, names in edges.items():
        root = f"vigil/1/{edge}"
        lines += [f"user edge-{edge}"]
        lines += [f"topic write {root}/{topic}" for topic in (
            "status", "bed/+/vitals", "bed/+/wave/+", "bed/+/state", "event", "answer/+")]
        lines += [f"topic read {root}/{topic}" for topic in ("status", "command", "ack/+", "gone/+")]
        for name in names:
            consoles.setdefault(name, []).extend((
                f"topic read {root}/#", f"topic write {root}/command", f"topic write {root}/ack/{name}",
                f"topic write {root}/gone/{name}"))
    for name, rights in consoles.items():
        lines += [f"user console-{name}", *rights]
    for name in observers:
        lines += [f"user {name}", "topic read vigil/1/#"]
    return "\n".join(lines) + "\n"
