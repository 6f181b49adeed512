"""All the settings of the console, its clock included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nacl.signing import SigningKey, VerifyKey

from edge.console.account_copy import beside

LONG_SHIFT_S = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class Tls:
    """Files for MQTT over TLS: the broker's CA, and our own certificate and key where it asks for them."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """One console. `now` is its clock in seconds since 1970 UTC and runs `speed` times as fast as real time.

    `edges` are those whose beds it shows.
    `origins` are the only pages allowed to act on it ("https://console.clinic"); empty: the address it is served at.
    `proxies` are the addresses and networks whose word is taken for where a request comes from (X-Forwarded-For).
    `lock_after_s`: real seconds without a touch after which a screen locks; it goes on showing and sounding.
    `signing_key` signs all that this console says; `edge_keys` are the public keys of the edges it believes. What an
    edge without a key there says is not believed.
    """

    name: str
    edges: tuple[str, ...]
    data: Path
    now: Callable[[], float]
    signing_key: SigningKey
    edge_keys: Mapping[str, VerifyKey] = field(default_factory=dict)
    mqtt_host: str = "127.0.0.1"
    mqtt_port: int = 1883
    mqtt_user: str | None = None
    mqtt_password: str | None = None
    tls: Tls | None = None
    speed: float = 1.0
    epoch: float = 0.0
    host: str = "127.0.0.1"
    port: int = 8080
    secure_cookies: bool = False
    lock_after_s: float = LONG_SHIFT_S
    origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    simulated: bool = False
    simulators: Mapping[str, Path] = field(default_factory=dict)  # edge -> the socket that works its simulated devices
    demo_logins: Path | None = None  # accounts of a demonstration, given to whoever opens its page
    server: str | None = None  # the address of a PostgreSQL database; None: a file in `data`

    def real(self, real_s: float) -> float:
        """So many real seconds, in seconds of this console's clock."""
        return real_s * self.speed

    @property
    def database(self) -> Path | str:
        """Where the console's own store lies: a file, or a server's address."""
        return self.server or self.data / "console.db"

    @property
    def account_copy(self) -> Path:
        """Where the second copy of the accounts lies."""
        return beside(self.data / "console.db")
