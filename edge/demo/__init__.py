"""The demonstration and the benchmark."""
