"""Random bytes, led by coverage, into every framing and its driver: a search of hours, on demand.

    pip install atheris && python -m tests.fuzz.parsers -max_total_time=600

It is not among the tests' packages, since only this needs it. What it finds becomes a row of tests/test_parsers.py.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["drivers"]):
    import drivers
    from drivers.contract import BadFrame

    FOUND = drivers.find()
from tests.helpers.golden_table import frames

SPECS = [spec for _, spec in sorted(FOUND.items()) if not spec.transports[0].startswith("modbus")]


def one_input(data: bytes) -> None:
    """The first byte chooses the driver, the second how large the pieces are. Raises what must not be raised."""
    if len(data) < 3:
        return
    spec, size, rest = SPECS[data[0] % len(SPECS)], data[1] + 1, data[2:]
    driver = spec.driver()
    driver.on_open()
    framed = 0
    for at in range(0, len(rest), size):
        for frame in driver.framing.feed(rest[at : at + size]):
            framed += len(frame)
            for request in (None, *spec.requests):
                if request is None or driver.is_response(frame, request):
                    try:
                        driver.decode(frame, request)
                    except BadFrame:
                        pass
    driver.framing.flush()
    if framed + driver.framing.dropped != len(rest):
        raise AssertionError(f"{spec.name}: {len(rest)} bytes are {framed} in frames, {driver.framing.dropped} dropped")


def seeds(folder: Path) -> None:
    """The golden frames, for it to begin with."""
    for number, spec in enumerate(SPECS):
        for row in frames(spec.name):
            (folder / f"{spec.name}-{row.line}").write_bytes(bytes((number, 255)) + row.frame * 2)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        seeds(Path(name))
        atheris.Setup([*sys.argv, name], one_input)
        atheris.Fuzz()
