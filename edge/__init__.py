"""Vigil's edge service: reads the devices at every bed, judges them, and tells the nurse."""
