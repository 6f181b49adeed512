"""The broker of a configuration, with a password that was read and certificates that can be used."""

from __future__ import annotations

from edge.config.files import MqttTable
from edge.contract.mqtt import Mqtt
from edge.process import BadUsage


def mqtt_of(table: MqttTable) -> Mqtt:
    """The broker as edge and console connect to it, with certificates that can be used. Raises BadUsage."""
    mqtt = Mqtt(table.host, table.port, table.user, password_of(table), table.tls, table.ca, table.cert, table.key)
    try:
        mqtt.context()
    except OSError as wrong:
        files = ", ".join(str(file) for file in (table.ca, table.cert, table.key) if file) or "the system's own"
        raise BadUsage(f"[mqtt] certificates cannot be used ({files}: {wrong.strerror or wrong}); write the paths of"
                       " PEM files in ca, cert and key") from None
    return mqtt


def password_of(table: MqttTable) -> str | None:
    """What `password_file` holds; None where there is none. Raises BadUsage."""
    if table.password_file is None:
        return None
    try:
        return table.password_file.read_text().strip()
    except OSError as wrong:
        raise BadUsage(f"{table.password_file}: no broker password ({wrong.strerror}); write it there") from None
