"""One example of every payload, as it stands in the AsyncAPI document; signatures and hashes are not real ones."""

from __future__ import annotations

from typing import Any

_EDGE, _BED, _BOOT, _AT = "clinic-1", "chair-1", "3f2a9c", "2026-01-31T09:05:00.250Z"
_HASH = "9f" * 32


def _signed(n: int, **said: Any) -> dict[str, Any]:
    return {**said, "n": n, "sig": "A" * 86 + "=="}


EXAMPLES: dict[str, dict[str, Any]] = {
    "status": _signed(
        88201, edge=_EDGE, boot=_BOOT, state="alive", at=_AT, version="0.1.0", config="5d41402a", beds=[_BED], seq=4711,
        speed=1.0, epoch="2026-01-31T08:00:00.000Z", simulated=False, will=88190, other_boots=[], storage=None,
        space=None,
        consoles={"main": {"state": "live", "seq": 4711, "since": "2026-01-31T08:00:03.100Z"}}),
    "vitals": _signed(
        88202, edge=_EDGE, bed=_BED, at=_AT, simulated=False, boot=_BOOT,
        numerics={
            "spo2_pct": {"value": 97, "at": _AT, "age_s": 0.3, "stale": False, "validity": "valid", "reason": None,
                         "device": "oximeter"},
            "sbp_mmhg": {"value": None, "at": _AT, "age_s": 12.0, "stale": False, "validity": "invalid",
                         "reason": "cuff_leak", "device": "cuff"}},
        pump={"state": "infusing", "device": "pump", "at": _AT, "age_s": 0.4, "stale": False}),
    "wave": _signed(
        88203, edge=_EDGE, bed=_BED, name="pleth", device="oximeter", start=_AT, rate_hz=75.0, low=0, high=255,
        samples=[100, 104, None, 120], simulated=False, boot=_BOOT, at=_AT),
    "state": _signed(
        88204, edge=_EDGE, bed=_BED, at=_AT, seq=4711, boot=_BOOT, simulated=False,
        session={"id": "c0ffee00c0ffee00", "phase": "INFUSING", "dissociation": "open", "started": _AT,
                 "dose_mg": 21.3},
        alarms=[{"alarm": "chair-1.HTN-3.1", "rule": "HTN-3", "state": "active", "priority": "high", "since": _AT,
                 "seq": 4711, "text": "Blood pressure 184/112 mmHg",
                 "told": [{"who": "nurse", "at": _AT}],
                 "next_told": {"who": "prescriber", "at": "2026-01-31T09:06:05.250Z"}}],
        devices=[{"device": "pump", "driver": "alaris_gh", "identity": "8002-51740", "link": "live", "reason": "",
                  "since": _AT, "frames": 1042, "bad": 3, "late": 1, "received": 88211, "understood": 87950,
                  "dropped": 40}],
        audio_paused_until=None, request=None, gap=None),
    "event": _signed(
        88205, seq=4711, boot=_BOOT, edge=_EDGE, bed=_BED, session="c0ffee00c0ffee00", at=_AT, wall=_AT, kind="alarm",
        late=False, prev=_HASH, hash=_HASH, hash_sig=None, withheld=0,
        unstored=False,
        body={"rule": "HTN-3", "alarm": "chair-1.HTN-3.1", "title": "Severe hypertension", "state": "active",
              "was": "pending", "priority": "high", "class": "physiological", "device": None, "since": _AT,
              "text": "Blood pressure 184/112 mmHg", "why": "Stop the infusion at the pump and call the prescriber.",
              "clears": "below 170/105", "limit": "180/120, or diastolic 110 twice", "by": None, "phase": "INFUSING",
              "dissociation": "expected", "evidence": [{"metric": "sbp_mmhg", "value": 184, "age_s": 1.2}]}),
    "ack": _signed(512, console="main", seq=4711, boot=_BOOT, sounded_seq=4711, at=_AT, run="a1b2c3d4",
                   sounded=[4690, 4711]),
    "gone": _signed(500, console="main", run="a1b2c3d4"),
    "command": _signed(
        513, id="9b1d", edge=_EDGE, console="main", user="ann", role="nurse", bed=_BED, verb="acknowledge",
        args={"alarm": "chair-1.HTN-3.1", "seq": 4711}, issued=_AT, expires="2026-01-31T09:05:10.250Z",
        nonce="5f0c7a11e2d94b6c"),
    "refused": {"since": _AT, "more": 0, "refused": [
        {"why": "password", "user": "edge-clinic-1", "client": "edge-clinic-1", "what": "wrong user or password",
         "count": 3, "first": _AT, "last": _AT}]},
    "answer": _signed(
        88206, id="9b1d", ok=False, reason="moved_on", state=None, nonce="5f0c7a11e2d94b6c", boot=_BOOT, at=_AT),
}
