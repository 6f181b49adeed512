"""Everything we ever say to a SunTech module, and what answers it; drawn in drivers/suntech_advantage.py."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.contract import Question, Say
from drivers.suntech_frames import BP_LEN, HOST, SHORT_LEN, TEXT_LEN, encode

CUFF_GAP_S, GAP_S, TIMEOUT_S = 0.2, 0.1, 2.0  # real time: the module's own pacing


def _say(name: str, *data: int, timeout_s: float = TIMEOUT_S, gap_s: float = GAP_S) -> Say:
    return Say(name, encode(HOST, bytes(data)), timeout_s=timeout_s, gap_s=gap_s)


VERSION = _say("version", 0x00, timeout_s=1.0)
VERSION_TEXT = _say("version_text", 0x79, 0x02, 0x40, timeout_s=1.0)
STATUS = _say("status", 0x79, 0x10, 0x03, timeout_s=1.0)
STATUS_SB = _say("status_sb", 0x79, 0x11, 0x00, timeout_s=1.0)
CUFF = _say("cuff_pressure", 0x79, 0x05, 0x00, gap_s=CUFF_GAP_S)
BP_DATA = _say("bp_data", 0x79, 0x03, 0x00)
ABORT = _say("abort", 0x79, 0x01, 0x00, gap_s=0.5)
STARTS: Mapping[str, Say] = {
    "adult": _say("start_adult", 0x20),
    "paediatric": _say("start_paediatric", 0x87),
    "neonate": _say("start_neonate", 0x28),
}
SAYS: tuple[Question, ...] = (VERSION, VERSION_TEXT, STATUS, STATUS_SB, CUFF, *STARTS.values(), BP_DATA, ABORT)

# What answers a question: frames of this length, or an acknowledgement with one of these letters. K is never the answer
# to a start: it ends one. A late end mark never answers anything.
ANSWERS: Mapping[str, tuple[int, str]] = {
    VERSION.name: (0, "KEBNDST"),
    VERSION_TEXT.name: (TEXT_LEN, "EBNDS"),
    STATUS.name: (SHORT_LEN, "BENDS"),
    STATUS_SB.name: (SHORT_LEN, "BENDS"),
    CUFF.name: (SHORT_LEN, "BNDS"),
    BP_DATA.name: (BP_LEN, "BNDS"),
    ABORT.name: (0, "ABKENDST"),
    **{say.name: (0, "OEBNDSAT") for say in STARTS.values()},
}
