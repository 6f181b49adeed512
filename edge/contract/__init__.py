"""What crosses a process border, as types: topics, payloads, commands, the MQTT client and the generated documents."""
