"""Searches that run on demand."""
