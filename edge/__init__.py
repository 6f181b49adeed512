"""Vigil's edge service: reads the devices at every bed, judges them, and shows the nurse."""
