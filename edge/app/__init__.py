"""The edge process: the service wired, its telemetry, its recovery after a crash, its supervisor."""
