"""The stream over MQTT: the outbox publisher, the command verifier, and the embedded broker."""
