"""Every form on the wire that a setting chooses, over a wire that lies: no valid value is ever a wrong one. A setting
that no run covers, and that is not said here to leave the form as it is, fails the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import pytest

import drivers
import simulators
from drivers.contract import Heard, Spec
from simulators.contract import Hands, ModbusTwin, Twin, TwinSpec
from simulators.faults import KINDS
from simulators.fresenius_orchestra import FreseniusTwin
from simulators.patient import Patient
from tests.helpers.fault_run import FaultRun, fault_run
from tests.helpers.parts import sampled

SPECS, TWINS = drivers.find(), simulators.find()
Chosen = Mapping[str, object]
FORM_STAYS: Mapping[tuple[str, str], str] = {  # driver, and setting or choice
    **dict.fromkeys((("berry_pm6750", "patient"), ("par_nibp", "patient"), ("suntech_advantage", "patient")),
                    "a byte of what is sent to it; what it sends has one form"),
    **dict.fromkeys((("fresenius_orchestra", one) for one in "234"), "one character, as with 1 and 5"),
    ("isco", "pump"): "the same registers at other addresses; the twin has one cylinder",
    ("isco", "self_check"): "one response fewer is judged",
    ("nonin", "df13"): "a spot check is one message, and silence until the next: never live for long",
}
OF_SCHEDULES = frozenset({"interval_s", "first_pair_s", "start_s"})  # when, not what


class Turned:
    """A Modbus twin that sends the bytes of each pair of registers in another order."""

    def __init__(self, twin: ModbusTwin, words: str) -> None:
        self._twin, self._words = twin, words
        self.hands: Hands = twin.hands
        self.unit = twin.unit

    def step(self, dt_s: float) -> None:
        self._twin.step(dt_s)

    def read(self, function: int, address: int, count: int) -> Sequence[int]:
        told = self._twin.read(function, address, count)
        if function not in (3, 4) or count % 2:
            return told
        raw = [(register >> 8, register & 0xFF) for register in told]
        pairs = [dict(zip("ABCD", (*raw[at], *raw[at + 1]), strict=True)) for at in range(0, count, 2)]
        turned = [[pair[letter] for letter in self._words] for pair in pairs]
        return [high << 8 | low for pair in turned for high, low in (pair[:2], pair[2:])]

    def write(self, function: int, address: int, values: Sequence[int]) -> None:
        self._twin.write(function, address, values)


def turned(words: str) -> Callable[[Patient, int], Turned]:
    return lambda patient, seed: Turned(cast("ModbusTwin", TWINS["isco"].make(patient, seed)), words)


def slot(address: str) -> Callable[[Patient, int], Twin]:
    return lambda patient, seed: FreseniusTwin(patient, address)


@dataclass(frozen=True)
class Form:
    """What a setting chooses, the twin that speaks it, where its own does not, and how often a stream has something."""

    name: str
    chosen: Chosen
    make: Callable[[Patient, int], Twin | ModbusTwin] | None = None
    a_second: int = 1

    def run(self, rates: dict[str, float], seconds: float, seed: int = 1) -> FaultRun:
        twin: TwinSpec = TWINS[self.name] if self.make is None else replace(TWINS[self.name], make=self.make)
        return fault_run(SPECS[self.name], twin, rates, seed, self.chosen).go(seconds)


FORMS = [
    Form("nonin", {"format": "df8"}), Form("nonin", {"format": "df2"}, a_second=20), Form("new_era", {"mode": "safe"}),
    Form("intellivue", {"waves": "on"}, a_second=4), Form("graseby_3400", {"rate": "as_displayed"}),
    Form("fresenius_orchestra", {"module": "none"}, slot("")), Form("fresenius_orchestra", {"module": "5"}, slot("5")),
    *(Form("isco", {"words": one}, turned(one)) for one in ("CDAB", "BADC", "DCBA")),
]
OF_MODBUS = frozenset({"exception", "words", "shift", "wrong", "unit"})
OF_TCP = frozenset({"one"})
WORST = {  # what hurts a form most
    "nonin": ("flip", "jump", "replay"), "intellivue": ("jump", "delay"), "new_era": ("replay",), "isco": ("words",),
    "graseby_3400": ("flip", "replay", "freeze"), "fresenius_orchestra": ("replay", "delay")}
SECONDS = 200.0
EVERYTHING = {True: 0.004, False: 0.0004}  # of each kind, for one transmission: of one that is asked, of a stream


def kinds_of(spec: Spec) -> list[str]:
    modbus = spec.transports[0].startswith("modbus")
    unseen = set() if spec.age or isinstance(spec.driver(), Heard) else {"freeze"}  # as its card says
    return [kind for kind in KINDS if kind not in OF_TCP | unseen and (modbus or kind not in OF_MODBUS)]


def named(form: Form) -> str:
    return " ".join((form.name, *map(str, form.chosen.values())))


@pytest.mark.parametrize("name", SPECS)
def test_every_choice_that_a_setting_offers_is_run(name: str) -> None:
    spec = SPECS[name]
    run = {(setting, value) for form in FORMS if form.name == name for setting, value in form.chosen.items()}
    for setting, what in spec.settings.items():
        if setting in OF_SCHEDULES or (name, setting) in FORM_STAYS:
            continue
        assert what.choices, f"{setting}: a setting without choices needs a run of its own, or a word why not"
        left = {one for one in what.choices if one != what.default and (setting, one) not in run}
        assert {one for one in left if (name, one) not in FORM_STAYS} == set()


CASES = [(form, kind) for form in FORMS for kind in ("", *WORST.get(form.name, ()))]


@pytest.mark.parametrize(("form", "kind"), sampled(CASES, 4))
def test_no_value_is_wrong_where_everything_happens_together_or_what_hurts_it_most(form: Form, kind: str) -> None:
    """"": everything."""
    spec = SPECS[form.name]
    polled = spec.line.stream_bytes_s is None
    often = 0.02 if kind == "jump" else 0.1 if polled or form.a_second == 1 else 0.02
    rates = {kind: often / form.a_second} if kind else dict.fromkeys(kinds_of(spec), EVERYTHING[polled])
    run = form.run(rates, SECONDS)
    assert run.wrong == []
    assert run.kept, "something was judged"


@pytest.mark.parametrize("form", sampled(((form,) for form in FORMS), 3))
def test_a_good_wire_shows_what_is_true_in_each_form(form: Form) -> None:
    """Where nothing was judged, nothing would be wrong either."""
    run = form.run({}, 100.0)
    assert run.wrong == []
    assert run.kept.keys() & {"spo2_pct", "volume_infused_ml", "cuff_pressure_mmhg"}
