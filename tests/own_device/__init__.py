"""A device of a clinic's own: a capnometer in three files, as drivers/README.md says."""
