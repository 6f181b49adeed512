"""The MQTT contract as types, the outbox publisher, command intake, and the embedded broker."""
