"""A patient played back from a file of minute rows, such as PhysioNet's MIMIC numerics.

Columns, named in the first line: minute, PULSE_bpm, RESP_pm, SpO2_pct, NBPSys_mmHg, NBPDias_mmHg, NBPMean_mmHg (others
are not used). An empty cell is missing; a 0 in pulse or SpO2 means no signal. Each value holds for its minute; a minute
without a row, and every minute after the last, has nothing to measure.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from drivers.bounded import read_file
from simulators.physiology import pleth_at

_COLUMNS = ("PULSE_bpm", "RESP_pm", "SpO2_pct", "NBPSys_mmHg", "NBPDias_mmHg", "NBPMean_mmHg")
_ZERO_IS_NOTHING = frozenset({"PULSE_bpm", "SpO2_pct"})

Row = Mapping[str, float | None]


class RecordedPatient:
    """The patient of `path`. Raises ValueError, in one line with file and line, where the file is not as described."""

    def __init__(self, path: Path) -> None:
        self._rows = load(path)
        self._first = min(self._rows)
        self._elapsed_s = 0.0
        self._beats = 0.0
        self.infused_ml = 0.0
        self.rate_ml_h = 0.0
        self.perfusion_index_pct: float | None = None  # not recorded
        self._show()

    def _show(self) -> None:
        row = self._rows.get(self._first + int(self._elapsed_s // 60), {})
        self.pulse_bpm = row.get("PULSE_bpm")
        self.resp_bpm = row.get("RESP_pm")
        self.spo2_pct = row.get("SpO2_pct")
        self.sbp_mmhg = row.get("NBPSys_mmHg")
        self.dbp_mmhg = row.get("NBPDias_mmHg")
        self.map_mmhg = row.get("NBPMean_mmHg")

    def step(self, dt_s: float) -> None:
        self._beats += dt_s * (self.pulse_bpm or 0.0) / 60.0
        self._elapsed_s += dt_s
        self.infused_ml += self.rate_ml_h * dt_s / 3600.0
        self._show()

    def infuse(self, rate_ml_h: float) -> None:
        """Noted, without effect: what happened has happened."""
        self.rate_ml_h = rate_ml_h

    def pleth(self, t_s: float) -> float:
        if self.pulse_bpm is None:
            return 0.5
        return pleth_at(self._beats - t_s * self.pulse_bpm / 60.0)


def load(path: Path) -> dict[int, Row]:
    """The rows by minute. Raises ValueError."""
    try:
        reader = csv.reader(io.StringIO(read_file(path).decode("utf-8"), newline=""))
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in ("minute", *_COLUMNS) if name not in header]
        if missing:
            raise ValueError(f"{path}:1: no column {', '.join(missing)}")
        rows: dict[int, Row] = {}
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if cells and len(cells) != len(header):
                raise ValueError(f"{where}: {len(cells)} cells, but the header names {len(header)} columns")
            if cells:
                _add(rows, dict(zip(header, cells, strict=True)), where)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a text file of comma-separated rows ({error})") from error
    if not rows:
        raise ValueError(f"{path}:2: no rows after the header")
    return rows


def _add(rows: dict[int, Row], cells: Mapping[str, str], where: str) -> None:
    minute = _number(cells["minute"], "minute", where)
    if minute is None or minute != int(minute):
        raise ValueError(f"{where}: minute must be a whole number, not {cells['minute']!r}")
    if rows and minute <= max(rows):
        raise ValueError(f"{where}: minute {minute:g} does not come after {max(rows)}")
    rows[int(minute)] = {name: _measured(name, cells[name], where) for name in _COLUMNS}


def _measured(name: str, cell: str, where: str) -> float | None:
    value = _number(cell, name, where)
    return None if value == 0 and name in _ZERO_IS_NOTHING else value


def _number(cell: str, name: str, where: str) -> float | None:
    if not cell.strip():
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{where}: {name} must be a number or empty, not {cell!r}")
    return value
