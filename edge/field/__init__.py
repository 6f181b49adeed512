"""From a port to a bed: ports, the Modbus bus, the dialogue with a device, identity and discovery."""
