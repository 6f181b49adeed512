"""Drivers that only the benchmark uses; a folder of drivers like a clinic's own."""
