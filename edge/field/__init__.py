"""The devices' side: ports, links, the Modbus bus, identity and supervision."""
