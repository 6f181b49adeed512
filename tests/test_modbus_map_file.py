"""What a register map may say: every mistake is one line with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.modbus_map.file import read_map
from drivers.modbus_map.tables import MapError
from tests.helpers.register_maps import ALARM, HEAD, PULSE, SPO2, a_map

FAULTS = [
    ("", "1: lacks [device]; write [device] with kind, source and title"),
    ("[device\n", "1: is not TOML: Expected ']' at the end of a table declaration; write key = value, with text in"),
    (f"{HEAD}knd = 1\n{SPO2}", "4: no key 'knd' in [device]; did you mean 'kind'?"),
    (HEAD.replace("monitor", "monitr") + SPO2, "2: 'kind' must be one of pump, nibp, oximeter, monitor, not 'monitr';"
                                               " did you mean 'monitor'?"),
    ('[device]\nkind = "monitor"\n' + SPO2, "1: [device] lacks 'source'; write source = ..."),
    (HEAD + "[values]\n", "4: no table 'values'; did you mean 'value'?"),
    (HEAD, "1: has no [[value]]; write one for each number"),
    (HEAD + SPO2.replace("input = 5\n", ""), "4: [[value]] needs one of coil, discrete, holding, input with an"),
    (HEAD + SPO2 + "holding = 4\n", "6: [[value]] needs one of coil, discrete, holding, input with an address"),
    (HEAD + SPO2.replace("= 5", "= 70000"),
     "6: input 70000 is no address where addresses = 'pdu'; the first is 0, the last 65535"),
    (HEAD + 'addresses = "from 1"\n' + SPO2.replace("= 5", "= 0"),
     "7: input 0 is no address where addresses = 'from 1'; the first is 1, the last 65536"),
    (HEAD + SPO2.replace("= 5", "= 65535") + 'type = "u32"\n', "6: input 65535 takes 2 registers: beyond the last"),
    (HEAD + SPO2 + SPO2, "10: spo2_pct is there twice; give each metric one [[value]]"),
    (HEAD + SPO2 + SPO2.replace("spo2_pct", "mood"), "10: 'mood' is no metric: its name ends in its unit"),
    (HEAD + SPO2.replace('"%"', '"mmHg"'), "7: 'unit' must be one of %, 1, not 'mmHg'"),
    (HEAD + SPO2.replace("[0, 100]", "[100, 0]"), "8: 'range' must be [lowest, highest] of what is plausible"),
    (HEAD + SPO2.replace("range = [0, 100]\n", ""), "4: [[value]] lacks 'range'"),
    (HEAD + SPO2 + "scale = 0\n", "9: 'scale' must not be 0"),
    (HEAD + SPO2 + 'scale = "0.1"\n', "9: 'scale' must be a number, not '0.1'"),
    (HEAD + SPO2 + 'type = "float"\n', "9: 'type' must be one of u16, s16, u32, s32, f32, u64, s64, f64, not 'fl"),
    (HEAD + SPO2 + 'type = "f32"\nbit = 3\n', "9: bits are read from u16, u32 or u64, not f32"),
    (HEAD + SPO2 + "bit = 16\n", "9: 'bit' must be from 0 to 15"),
    (HEAD + SPO2 + 'words = "ABDC"\n', "9: 'words' must be one of ABCD, CDAB, BADC, DCBA, not 'ABDC'"),
    (HEAD + SPO2 + 'invalid_when = [{ input = 9, bit = 0, reason = "off" }]\n', "9: invalid_when: 'reason' must be"),
    (HEAD + SPO2.replace("spo2_pct", "sbp_mmhg").replace("%", "mmHg"), "5: a cuff's numbers need [determination]"),
    (HEAD.replace("monitor", "pump") + SPO2, "2: a pump's map needs [pump]: where its state is"),
    (HEAD + SPO2 + '[pump]\nholding = 1\nstates = { 0 = "stopped" }\n', "9: [pump] is for kind = \"pump\", not "),
    (HEAD.replace("monitor", "pump") + SPO2 + '[pump]\nholding = 1\nstates = { 0 = "halted" }\n',
     "11: states: 'halted' must be one of infusing, stopped, paused, alarm, unknown"),
    (HEAD.replace("monitor", "pump") + SPO2 + '[pump]\nholding = 1\nstates = { on = "stopped" }\n',
     "11: states: 'on' must be a whole number, as in 3 or 0x10"),
    (HEAD + SPO2 + '[[alarm]]\ninput = 9\nbit = 0\ncode = "occluded"\npriority = "high"\n',
     "12: 'code' must be one of"),
    (HEAD + SPO2 + '[[alarm]]\ninput = 9\nbit = 0\ncode = "occlusion"\n', "9: [[alarm]] lacks 'priority'"),
    (HEAD + SPO2 + "[[check]]\ninput = 9\n", "9: [[check]] needs either equals = ... or range = [lowest, highest]"),
    (HEAD + SPO2 + "[identity]\nserial = { input = 9, length = 3 }\n", "10: serial: 'length' counts characters"),
    (HEAD + SPO2 + "[line]\nbaud = 10\n", "10: 'baud' must be from 50 to 4000000, not 10"),
    (HEAD + SPO2 + PULSE.replace("= 7", "= 5"), "10: pulse_bpm is read from input 5, and so is spo2_pct; one"),
    (HEAD + SPO2 + 'type = "f32"\n' + PULSE.replace("= 7", "= 6"),
     "12: input 6 (u16, 1 register) overlaps input 5 of spo2_pct (f32, 2 registers); one address or type is wrong"),
    (HEAD + SPO2 + PULSE.replace("= 7", "= 4") + 'type = "s32"\n', "11: input 4 (s32, 2 registers) overlaps input"),
    (HEAD + SPO2 + "[[check]]\ninput = 4\ntype = \"u32\"\nequals = 1\n", "10: input 4 (u32, 2 regi"),
    (HEAD + SPO2 + "[identity]\nserial = { input = 2, length = 8 }\n", "10: serial: input 2 (u16, 4 registers)"),
    (HEAD + SPO2 + "none = [-1]\n", "9: none: input 5 (u16) never holds -1; it is from 0 to 65535"),
    (HEAD + SPO2 + 'type = "s16"\nnone = [32768]\n', "10: none: input 5 (s16) never holds 32768; it is from -32768 to"),
    (HEAD + SPO2 + "mask = 0xFF00\nnone = [256]\n", "10: none: input 5 (u16, masked) never holds 256; it is from"),
    (HEAD + SPO2 + "[[check]]\ninput = 9\nequals = 65536\n", "11: equals: input 9 (u16) never holds 65536;"),
    (HEAD + SPO2 + "offset = -65536\n", "8: 'range' is never reached: input 5 (u16) with this scale is from"),
    (HEAD + "[line]\nsilent_after_s = 2\n" + SPO2,
     "5: 'silent_after_s' must be longer than poll_s + lateness_s (1 + 1), not 2: else it is silent between two good"),
    (HEAD + "poll_s = 4\n" + SPO2, "1: is asked every 4 s and silent after 5 s; write [line] with silent_after_s = 16"),
    (HEAD + SPO2 + "[device]\n", "9: is not TOML: Cannot declare ('device',) twice; it stands there already: take one"),
    (HEAD + SPO2 + SPO2.replace("[[value]]", "[value]"), "9: is not TOML: Cannot declare ('value',) twice; it stands"),
    (HEAD + SPO2 + "input = 9\n", "9: is not TOML: Cannot overwrite a value; it stands there already: take one out"),
    (HEAD + SPO2 + "scale = 1e-320\n", "9: 'scale' must not be 0, nor less than 1e-12"),
    (HEAD + SPO2 + "mask = 0\n", "9: 'mask' must be from 1 to "),
    (HEAD + SPO2 + "mask = 0x10000\n", "9: 'mask' must be at most 0xFFFF: input 5 is u16"),
    (HEAD + SPO2 + "bit = -1\n", "9: 'bit' must be from 0 to 63, not -1"),
    (HEAD + SPO2 + "resolution = 101\n", "9: 'resolution' must be smaller than 'range' is wide (100)"),
    (HEAD + 'title = "a\\nb"\n' + SPO2, "4: 'title' must be one line of text that can be shown, not 'a\\nb'"),
    (HEAD + SPO2 + "[identity]\nserial = { holding = 1, length = 8, mask = 3 }\n", "10: serial: a text has no 'mask'"),
    (HEAD + SPO2 + "[determination]\ninput = 5\n", "5: spo2_pct is read from input 5, and so is [determination];"),
    (HEAD + SPO2 + "[alive]\ninput = 5\n", "5: spo2_pct is read from input 5, and so is [alive]; one address is wrong"),
    (HEAD + SPO2 + '[[check]]\ninput = 9\ntype = "f32"\nequals = 1e39\n', "12: equals: input 9 (f32) never holds"),
    (HEAD + SPO2 + "[[check]]\ninput = 9\nrange = [65536, 70000]\n", "11: 'range' is never reached: input 9 (u16)"),
    (HEAD + SPO2 + "[[check]]\ninput = 9\nrange = [1.2, 1.8]\n", "11: 'range' is never reached: input 9 (u16) is from"),
    (HEAD + SPO2 + '[[check]]\ninput = 9\ntype = "f32"\nrange = [1e39, 1e40]\n', "12: 'range' is never reached: in"),
    (HEAD + SPO2 + "[[check]]\ninput = 9\nrange = [0, 65535]\n", "11: 'range' holds whatever input 9 has (0 to 65535)"),
    (HEAD + SPO2 + 2 * ALARM, "15: input 9 bit 1 is there twice; give each bit or code one [[alarm]]"),
    (HEAD + SPO2 + ALARM + ALARM.replace("bit = 1", "equals = 2"), "15: input 9 is read by its bits and by its codes;"),
    (HEAD.replace("monitor", "pump") + SPO2 + '[pump]\nholding = 1\nstates = { 1 = "stopped", 0x1 = "paused" }\n',
     "11: states: 0x1 is there twice; give each code one word"),
    ("a = " + 9000 * "[", "1: is not TOML: brackets in brackets in brackets"),
    (250_000 * "# x\n", "1: lacks [device]; write [device]"),
    (250_000 * "# x\n" + "#", "1: is longer than 1 MB; name the register map itself"),
    (HEAD + SPO2.replace('"spo2_pct"', str(999 * [1])), "5: 'metric' must be text in quotes, not [1, 1, 1, 1, 1, "),
    (HEAD + SPO2 + "mask = 0b101\n", "9: 'mask' must be bits side by side, not 0x5: others are between"),
    (HEAD + SPO2 + "[alive]\ninput = 9\nwithin_s = 1\n", "11: 'within_s' must be longer than poll_s (1), not 1"),
    (HEAD + SPO2 + "[determination]\ninput = 9\n", "9: [determination] is for a cuff's numbers; none is here"),
    (HEAD + SPO2 + "[identity]\n", "9: [identity] names neither serial nor model; write one, or leave it out"),
    (HEAD + SPO2 + ALARM.replace("9", "5"), "13: input 5 bit 1 is a bit of spo2_pct, which is read from all of"),
    (HEAD.replace("monitor", "pump") + SPO2 + '[pump]\nholding = 1\nstates = { 0 = "stopped", 1 = "paused" }\n',
     "11: 'states' has no code for \"infusing\": this pump would never be seen to run"),
    (HEAD + 'name = "My Pump"\n' + SPO2, "4: 'name' must be 1 to 32 of a-z, 0-9 and _, a letter first, not 'My Pump'"),
]


@pytest.mark.parametrize("text", [  # as near as it may be
    "[line]\nsilent_after_s = 2.01\n" + SPO2,
    SPO2 + "mask = 0xFFFF\nresolution = 100\n" + ALARM + ALARM.replace("1", "2"),
    SPO2 + "[[check]]\ninput = 9\nrange = [0, 65534]\n[[check]]\ninput = 10\nrange = [1.2, 2]\n",
    SPO2 + 'type = "f32"\n' + PULSE, SPO2 + PULSE.replace("= 7", "= 6"), SPO2 + "none = [65535]\noffset = -65535\n",
    SPO2 + 'type = "s16"\nnone = [-32768]\n', SPO2 + PULSE.replace("input = 7", "holding = 5"),
    SPO2 + "mask = 0b110\n[alive]\ninput = 9\nwithin_s = 1.1\n" + ALARM.replace("9", "6"),
    SPO2 + "mask = 0x00FF\nnone = [255]\n" + PULSE.replace("= 7", "= 5") + "mask = 0xFF00\n",
])
def test_what_shares_no_register_or_all_of_one_is_read(tmp_path: Path, text: str) -> None:
    assert read_map(a_map(tmp_path, HEAD + text)).values


@pytest.mark.parametrize(("text", "says"), FAULTS, ids=[says[:50] for _, says in FAULTS])
def test_a_faulty_map_is_one_line_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    path = a_map(tmp_path, text)
    with pytest.raises(MapError) as wrong:
        read_map(path)
    assert str(wrong.value).startswith(f"{path}:{says}")
    assert "\n" not in str(wrong.value)


def test_a_map_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"no\.toml: cannot be read \(No such file or directory\); name a file"):
        read_map(tmp_path / "no.toml")
