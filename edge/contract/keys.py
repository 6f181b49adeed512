"""The keys of edges and consoles: how they are written, made, read and pinned.

A private key is one line `ed25519-secret:<base64>` in a file that only its owner reads; the public key lies beside it
as NAME.pub, one line `ed25519:<base64>`, and is what the other side pins. Whoever has no pinned key is not believed.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from nacl.signing import SigningKey, VerifyKey

PUBLIC, SECRET = "ed25519:", "ed25519-secret:"
KEY_BYTES = 32
PER_SECOND = 2**20  # counters of the clock: more than anybody signs
RESERVE = 2**24  # counters for one writing of the file: half a day's at 400 a second
log = logging.getLogger(__name__)


class BadKey(ValueError):
    """A key cannot be used; the message is one line that says which, why, and what to write or copy."""


def public_text(key: VerifyKey) -> str:
    """The public key in one line, as in a .pub file."""
    return PUBLIC + base64.b64encode(bytes(key)).decode()


def own_key(path: Path) -> SigningKey:
    """This side's private key at `path`, made with mode 0600 where there is none; its .pub is written beside it, and
    where that is of another key, which was changed, it is kept as one of `earlier_keys`.

    Raises BadKey for a file that holds none or that others may read, OSError where it cannot be read or written.
    """
    if not path.exists():
        _make(path)
    if path.stat().st_mode & 0o077:
        raise BadKey(f"others may read {path}; it is a private key: chmod 600 {path}")
    key = SigningKey(_bytes(path.read_text(errors="replace").strip(), SECRET, str(path)))
    public, text = path.with_suffix(".pub"), public_text(key.verify_key) + "\n"
    if not public.exists() or public.read_text(errors="replace") != text:
        with contextlib.suppress(BadKey):  # no key: there is nothing to keep of it
            earlier = pinned_key(str(public))
            if public.exists() and earlier not in (key.verify_key, *earlier_keys(path)):
                write_whole(_earlier(path, 1 + len(_earlier_files(path))), public_text(earlier) + "\n", 0o644)
        write_whole(public, text, 0o644)
    return key


def earlier_keys(path: Path) -> list[VerifyKey]:
    """The public keys that belonged to the private key at `path` before it was changed: NAME.1.pub and so on, oldest
    first."""
    found: list[VerifyKey] = []
    for public in _earlier_files(path):
        try:
            found.append(pinned_key(str(public)))
        except BadKey as fault:  # what it has signed is not believed, and no start waits for that
            log.warning("%s", fault)
    return found


def _earlier(path: Path, number: int) -> Path:
    return path.with_suffix(f".{number}.pub")


def _earlier_files(path: Path) -> list[Path]:
    numbered = ((found.stem.rpartition(".")[2], found) for found in path.parent.glob(f"{path.stem}.*.pub"))
    return [found for _, found in sorted((int(number), found) for number, found in numbered if number.isdecimal())]


def signing_keys(text: str) -> list[VerifyKey]:
    """A public key as `pinned_key` takes it, the last, and where it is a file those before it (`earlier_keys`). Raises
    BadKey."""
    key = pinned_key(text)
    return [key] if text.startswith(PUBLIC) else [*earlier_keys(Path(text)), key]


class Count:
    """Strictly rising counters, over restarts too: above all it ever gave by a file, and by the clock, so that it takes
    both a lost file and a clock set back to make it fall. Holds no more than one reader of a file at a time."""

    def __init__(self, path: Path, wall_s: float) -> None:
        """`path` keeps the counter up to which some may have been given; `wall_s`: seconds since 1970."""
        self._path = path
        self.was_used = path.exists()  # by an earlier start
        try:
            kept = int(path.read_text())
        except (OSError, ValueError):  # not there yet, or damaged: the clock is left
            kept = 0
        self._last = max(kept, int(wall_s * PER_SECOND))
        self._reserved = self._last

    def __call__(self) -> int:
        """The next one."""
        self._last += 1
        if self._last > self._reserved:
            self._reserved = self._last + RESERVE
            try:
                write_whole(self._path, f"{self._reserved}\n", 0o600)
            except OSError as error:  # the clock is left, as after a restart
                log.warning("the counter of what is signed cannot be kept in %s: %s", self._path, error.strerror)
        return self._last


def pinned_key(text: str, folder: Path = Path()) -> VerifyKey:
    """A public key as configuration gives it: `ed25519:<base64>`, or the path of a .pub file (from `folder`).

    Raises BadKey.
    """
    if text.startswith(PUBLIC):
        return VerifyKey(_bytes(text, PUBLIC, "the key"))
    path = folder / text
    try:
        return VerifyKey(_bytes(path.read_text().strip(), PUBLIC, str(path)))
    except OSError as error:
        raise BadKey(f"no public key at {path} ({error.strerror}); copy the other side's .pub file there,"
                     f" or write its line {PUBLIC}... here") from None
    except UnicodeDecodeError:
        raise BadKey(f"{path} is not a public key; it is one line {PUBLIC}...") from None


def pinned_keys(given: Mapping[str, str], names: Iterable[str], *, base: Path, data: Path) -> dict[str, VerifyKey]:
    """The pinned public key of each of `names` that has one: as `given` (paths from `base`, the folder of the
    configuration), else from the file keys/NAME.pub in the `data` folder. Raises BadKey."""
    found: dict[str, VerifyKey] = {}
    for name in names:
        path = data / "keys" / f"{name}.pub"
        if name in given:
            found[name] = pinned_key(given[name], base)
        elif path.is_file():
            found[name] = pinned_key(str(path))
    return found


def pin_neighbour(pinned: dict[str, VerifyKey], names: Sequence[str], data: Path, *, database: str, key: str) -> None:
    """Pins the one edge or console that lives in the same `data` folder, as both did on one machine in 0.1.0: whoever
    writes there is both, so that nobody has to copy a key from a folder to itself. Does nothing where a key is pinned
    already, or there are several names, or their `database` is not there. `key` is their private key's file, made if
    need be: either may start first. Raises BadKey, OSError."""
    if len(names) == 1 and names[0] not in pinned and (data / database).is_file():
        public = (data / key).with_suffix(".pub")
        pinned[names[0]] = pinned_key(str(public)) if public.is_file() else own_key(data / key).verify_key


def _make(path: Path) -> None:
    """A new private key at `path`, unless somebody else makes one there at the same time."""
    part = path.with_name(f"{path.name}.{os.getpid()}.new")
    write_whole(part, SECRET + base64.b64encode(bytes(SigningKey.generate())).decode() + "\n", 0o600)
    try:
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(part)
    finally:
        part.unlink()


def _bytes(text: str, prefix: str, where: str) -> bytes:
    try:
        raw = base64.b64decode(text.removeprefix(prefix), validate=True) if text.startswith(prefix) else b""
    except ValueError:  # no base64, or not even ASCII
        raw = b""
    if len(raw) != KEY_BYTES:
        raise BadKey(f"{where} is not an Ed25519 key; it is one line {prefix}<base64 of {KEY_BYTES} bytes>")
    return raw


def write_whole(path: Path, text: str, mode: int) -> None:
    """All of it or nothing, readable as `mode` says from its first byte on."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
