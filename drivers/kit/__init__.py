"""What drivers share: framings, Modbus maps, schedules. Knows no device; see README.md here."""
