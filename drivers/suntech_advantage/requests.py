"""Every request to a SunTech module, and what is a response to it; drawn in __init__.py here."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.contract import Effect, FrameRequest, Request
from drivers.suntech_advantage.frames import BP_LEN, HOST, SHORT_LEN, TEXT_LEN, encode

GAP_S, TIMEOUT_S = 0.1, 2.0  # real time: the module's own pacing
CUFF_GAP_S = 0.4  # it allows 0.2; then a late response now and then cost a fifth of the pressures


def _request(
    name: str, effect: Effect, *data: int, timeout_s: float = TIMEOUT_S, gap_s: float = GAP_S, retries: int = 0
) -> FrameRequest:
    return FrameRequest(name, encode(HOST, bytes(data)), effect=effect, timeout_s=timeout_s, gap_s=gap_s,
                        retries=retries)


VERSION = _request("version", "identify", 0x00, timeout_s=1.0)
VERSION_TEXT = _request("version_text", "identify", 0x79, 0x02, 0x40, timeout_s=1.0, retries=1)
STATUS = _request("status", "read", 0x79, 0x10, 0x03, timeout_s=1.0)
STATUS_SB = _request("status_sb", "read", 0x79, 0x11, 0x00, timeout_s=1.0)
CUFF = _request("cuff_pressure", "read", 0x79, 0x05, 0x00, gap_s=CUFF_GAP_S)
BP_DATA = _request("bp_data", "read", 0x79, 0x03, 0x00)
ABORT = _request("abort", "stop_cuff", 0x79, 0x01, 0x00, gap_s=0.5)
STARTS: Mapping[str, FrameRequest] = {
    "adult": _request("start_adult", "start_cuff", 0x20),
    "paediatric": _request("start_paediatric", "start_cuff", 0x87),
    "neonate": _request("start_neonate", "start_cuff", 0x28),
}
REQUESTS: tuple[Request, ...] = (VERSION, VERSION_TEXT, STATUS, STATUS_SB, CUFF, *STARTS.values(), BP_DATA, ABORT)

# The response to a request: a frame of this length, or an acknowledgement with one of these letters. K is never the
# response to a start: it ends one. A late end mark is no response.
RESPONSES: Mapping[str, tuple[int, str]] = {
    VERSION.name: (0, "KEBNDST"),
    VERSION_TEXT.name: (TEXT_LEN, "EBNDS"),
    STATUS.name: (SHORT_LEN, "BENDS"),
    STATUS_SB.name: (SHORT_LEN, "BENDS"),
    CUFF.name: (SHORT_LEN, "BNDS"),
    BP_DATA.name: (BP_LEN, "BNDS"),
    ABORT.name: (0, "ABKENDST"),
    **{request.name: (0, "OEBNDSAT") for request in STARTS.values()},
}
