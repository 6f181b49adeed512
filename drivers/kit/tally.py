"""What a device sends besides, and a driver makes nothing of: counted by name, so that a technician sees it."""

from __future__ import annotations

MOST = 24  # names; what more there is counts together
OTHERS = "others"


class Tally(dict[str, int]):
    """How often each came. `Driver.unmapped` (drivers.contract.Unmapping)."""

    def saw(self, name: str) -> None:
        """It came once more."""
        if name not in self and len(self) >= MOST:
            name = OTHERS
        self[name] = self.get(name, 0) + 1
