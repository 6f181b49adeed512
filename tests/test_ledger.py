"""The dose ledger: what the drug's pump gave since the start, whatever its counter does; never less, never twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drivers
from edge.config.files import ConfigError, load_edge
from edge.core import views
from edge.core.bedside import Bedside
from edge.model import Boot, Command, LinkChanged, PumpRole, PumpStatus, Sample, Samples, Tick
from tests.helpers.bed_story import DEVICES, ORDER, T0
from tests.helpers.rule_files import PROTOCOLS, RULES

TWO = (*DEVICES, ("saline", "pump", "p"))
ROLES: dict[str, PumpRole] = {"pump": "drug", "saline": "carrier"}
POLL_S = 5.0
RATE_ML_H = 52.5


class Pumps:
    """A drug pump and a carrier at one bed, polled every five seconds; `true_ml` is what the drug's really gave."""

    def __init__(self, roles: dict[str, PumpRole] | None = None) -> None:
        self.bed = Bedside("chair-1", TWO, RULES, protocols=PROTOCOLS, roles=ROLES if roles is None else roles)
        self.at_s = T0
        self.true_ml = 0.0
        self.counters = {"pump": 0.0, "saline": 0.0}
        self.identity, self.heard = "A", True
        for name, *_ in TWO:
            self.give(LinkChanged(name, "live", identity="A" if name == "pump" else name))
        self.give(Command("c", "main", "nina", "nurse", "chair-1", "start_session", ORDER))
        self.poll("stopped")

    def give(self, given: Any) -> None:
        self.bed.apply(given, self.at_s)

    def poll(self, state: Any, pump: str = "pump") -> None:
        if pump == "pump" and not self.heard:
            return
        self.give(PumpStatus(pump, state))
        values = {"rate_ml_h": RATE_ML_H if state == "infusing" else 0.0, "volume_infused_ml": self.counters[pump]}
        self.give(Samples(pump, tuple(Sample("chair-1", pump, metric, value, "valid", self.at_s)
                                      for metric, value in values.items())))

    def run(self, polls: int) -> None:
        for _ in range(polls):
            self.at_s += POLL_S
            self.counters["pump"] += RATE_ML_H / 3600 * POLL_S
            self.true_ml += RATE_ML_H / 3600 * POLL_S
            self.poll("infusing")
            self.give(Tick())

    def saline(self, polls: int) -> None:
        for _ in range(polls):
            self.at_s += POLL_S
            self.counters["saline"] += 1.0
            self.poll("infusing", "saline")
            self.poll("stopped")

    def clear(self, _: int) -> None:
        self.counters["pump"] = 0.0

    def swap(self, n: int) -> None:
        """Another pump of the same driver, with a total of its own."""
        self.identity = f"{self.identity[:1]}{n}"
        self.counters["pump"] = float(n * 7 % 40)
        self.give(LinkChanged("pump", "live", identity=self.identity))
        self.poll("stopped")

    def restart(self, n: int) -> None:
        self.at_s += n
        self.give(Boot("b", float(n)))
        for name, *_ in TWO:
            self.give(LinkChanged(name, "live", identity=self.identity if name == "pump" else name))

    def silence(self, polls: int) -> None:
        """It runs on, and nobody hears it."""
        self.give(LinkChanged("pump", "lost"))
        self.heard = False
        self.run(polls)
        self.heard = True
        self.give(LinkChanged("pump", "live", identity=self.identity))
        self.poll("infusing")

    @property
    def session(self) -> Any:
        return self.bed.state.session


STEPS = st.lists(st.tuples(st.sampled_from(["run", "saline", "clear", "swap", "restart", "silence"]),
                           st.integers(1, 6)), max_size=8)


@settings(max_examples=25)
@given(STEPS)
def test_the_dose_never_falls_and_is_never_more_than_what_went_in(steps: list[tuple[str, int]]) -> None:
    pumps = Pumps()
    pumps.run(4)
    for name, n in steps:
        before, true_ml = pumps.session.delivered_ml, pumps.true_ml
        getattr(pumps, name)(n)
        after = pumps.session.delivered_ml
        assert before <= after <= pumps.true_ml + 1e-6
        if name in ("run", "silence"):
            pumps.run(1)
            lost = pumps.true_ml - true_ml - (pumps.session.delivered_ml - before)
            assert lost <= RATE_ML_H / 3600 * POLL_S + 0.5, "all but what stood between two polls at a change"


def test_a_carrier_that_runs_alone_moves_nothing() -> None:
    pumps = Pumps()
    pumps.saline(60)
    session, numerics = pumps.session, views.vitals(pumps.bed.state, pumps.at_s).numerics
    assert (session.started_s, session.delivered_ml, session.primed_ml, session.phase) == (None, 0.0, 0.0, "PRECHECK")
    assert numerics["rate_ml_h"].device == "pump"
    roles = {one.device: one.role for one in views.full(pumps.bed.state, pumps.at_s).devices if one.kind == "pump"}
    assert roles == {"pump": "drug", "saline": "carrier"}


def test_the_pump_that_is_named_while_it_runs_has_run_since_it_began() -> None:
    pumps = Pumps(roles={})
    pumps.run(48)
    assert pumps.session.delivered_ml == 0.0
    pumps.give(Command("c2", "main", "nina", "nurse", "chair-1", "drug_channel", {"device": "pump"}))
    pumps.run(1)
    assert pumps.session.started_s == T0 + POLL_S, "its first word that it infuses"
    assert abs(pumps.session.delivered_ml - pumps.true_ml) < 1e-6 and pumps.session.infused_s == 240


TOML = """
[edge]
id = "clinic-1"
data = "data"
rules = "rules.toml"
[[bed]]
id = "chair-1"
[[bed.device]]
id = "pump"
driver = "{driver}"
at = "tcp://127.0.0.1:4001"
role = "{role}"
[[bed.device]]
id = "saline"
driver = "alaris_gh"
at = "tcp://127.0.0.1:4002"
role = "{other}"
"""


@pytest.mark.parametrize(("driver", "role", "other", "line"), [
    ("alaris_gh", "drug", "drug", "'pump' gives the drug at bed 'chair-1' already; write role = \"carrier\""),
    ("nonin", "drug", "carrier", "'role' is for pumps; driver 'nonin' is of kind oximeter; remove it"),
    ("alaris_gh", "saline", "carrier", "role"),
])
def test_a_role_that_cannot_be_is_refused_with_its_line(
    tmp_path: Path, driver: str, role: str, other: str, line: str,
) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(TOML.format(driver=driver, role=role, other=other))
    with pytest.raises(ConfigError, match=r"edge\.toml:1") as refused:
        load_edge(path, drivers.find)
    assert line in str(refused.value)

