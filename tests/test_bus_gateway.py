"""A gateway that serves one request at a time: the absent cost the others little, and each one's trouble is named."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from drivers.contract import Line, Spec
from edge import model
from edge.field.device_url import DeviceUrl
from edge.field.devices import Devices
from edge.field.dialogue import Dialogue
from tests.helpers.poller import READS, Poller
from tests.helpers.waiting import until

LINE = Line(19200, silent_after_s=0.6, lateness_s=0.05)
ROUND_S = 0.1


@dataclass
class Gateway:
    """One connection at a time, one request at a time. `absent`: unit -> what is answered for it, after `takes_s`."""

    absent: dict[int, int | None] = field(default_factory=dict)  # exception code, or None: nothing at all
    takes_s: float = 0.1
    closes: bool = False  # after each answer
    resets: frozenset[int] = frozenset()  # units at whose request it closes
    callers: int = 0
    most_callers: int = 0
    connects: int = 0
    _server: asyncio.Server | None = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.callers += 1
        self.connects += 1
        self.most_callers = max(self.most_callers, self.callers)
        try:
            while True:
                transaction, _, _, unit, function, _, count = struct.unpack(
                    ">HHHBBHH", await reader.readexactly(12))
                if unit in self.resets:
                    raise ConnectionError
                pdu: bytes | None = struct.pack(f">BB{count}H", function, 2 * count, *(60 + unit for _ in range(count)))
                if unit in self.absent:
                    await asyncio.sleep(self.takes_s)
                    code = self.absent[unit]
                    pdu = bytes((function | 0x80, code)) if code is not None else None
                if pdu is not None:
                    writer.write(struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu)
                if self.closes:
                    raise ConnectionError
        except (asyncio.IncompleteReadError, ConnectionError):
            self.callers -= 1
            writer.close()


@dataclass
class Bed:
    links: list[model.LinkChanged] = field(default_factory=list)
    samples: int = 0

    def decoded(self, inputs: Sequence[model.Input], at_s: float, more: bool) -> None:
        self.links += [one for one in inputs if isinstance(one, model.LinkChanged)]
        self.samples += sum(isinstance(one, model.Samples) for one in inputs)


async def rounds(gateway: Gateway, units: Sequence[int], seconds: float, said: str = "") \
        -> tuple[list[int], list[Bed], list[Dialogue]]:
    """How many rounds each unit had, after the first second. What is compared runs at the same time, so that whatever
    else this machine does holds up both. It goes on until all but the first are silent with what is
    `said`: a unit that was not heard in time on a busy machine is asked again some seconds later."""
    loop = asyncio.get_running_loop()
    devices, drivers, beds, dialogues = Devices(now=loop.time, speed=10.0), [], [], []
    async with gateway.listening() as port:
        for number, unit in enumerate(units):
            driver, bed = Poller(ROUND_S), Bed()
            spec = Spec("p", "P", "monitor", ("modbus+tcp",), "D", "", LINE, frozenset(), READS, "",
                        lambda settings, driver=driver: driver)  # type: ignore[misc]
            at = DeviceUrl("modbus+tcp", host="127.0.0.1", port=port, unit=unit)
            dialogues.append(devices.add(f"chair-{number}", "p", spec, at, decoded=bed.decoded,
                                         wave=lambda wave, at_s: None))
            drivers.append(driver)
            beds.append(bed)
        task = loop.create_task(devices.run())
        await asyncio.sleep(1.0)
        before = [driver.rounds for driver in drivers]
        await asyncio.sleep(seconds)
        after = [driver.rounds for driver in drivers]
        if said:
            await until(lambda: all(bed.links[-1].reason.startswith(said) for bed in beds[1:]), 30, said)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()
    return [new - old for old, new in zip(before, after, strict=True)], beds, dialogues


@pytest.mark.slow
@pytest.mark.parametrize("code", [11, 10, None], ids=["0x0B after a while", "0x0A", "nothing at all"])
async def test_units_that_are_off_leave_a_healthy_one_nine_tenths_of_its_rate(code: int | None) -> None:
    wanted = "nothing received" if code is None else f"exception {code} at holding registers 0..1 (gateway: "
    absent = Gateway(absent=dict.fromkeys((2, 3, 4), code))
    ((alone,), _, _), ((healthy, *off), beds, dialogues) = await asyncio.gather(
        rounds(Gateway(), [1], 3.0), rounds(absent, [1, 2, 3, 4], 3.0, wanted))
    assert healthy >= 0.9 * alone, (healthy, alone)
    assert off == [0, 0, 0]
    assert {link.state for link in beds[0].links} == {"connecting", "live"}, "nor is it ever called silent"
    assert all(dialogue.state == "silent" for dialogue in dialogues[1:])


@pytest.mark.slow
@pytest.mark.parametrize("gateway", [Gateway(closes=True), Gateway(resets=frozenset({2, 3, 4}))],
                         ids=["after each answer", "at the request to a unit that is off"])
async def test_a_gateway_that_closes_its_connection_stays_live(gateway: Gateway) -> None:
    units = [1, 2] if gateway.closes else [1, 2, 3, 4]
    ((alone,), _, _), ((first, *_), beds, _) = await asyncio.gather(
        rounds(Gateway(), [1], 2.0), rounds(gateway, units, 2.0))
    assert first >= 0.9 * alone, (first, alone)
    assert {link.state for link in beds[0].links} == {"connecting", "live"}
    assert gateway.connects > 10 or gateway.resets


@pytest.mark.slow
async def test_two_beds_on_a_controller_that_takes_one_connection_share_it() -> None:
    gateway = Gateway()
    both, beds, dialogues = await rounds(gateway, [1, 1], 1.5)
    assert (gateway.most_callers, gateway.connects) == (1, 1)
    assert min(both) > 5
    assert all(bed.samples for bed in beds)
    assert [dialogue.state for dialogue in dialogues] == ["live", "live"]


@pytest.mark.slow
async def test_a_unit_that_is_switched_on_is_found() -> None:
    gateway = Gateway(absent={2: 11}, takes_s=0.02)
    loop = asyncio.get_running_loop()
    back: Callable[[], None] = lambda: gateway.absent.clear()  # noqa: E731 - said once
    loop.call_later(1.0, back)
    (_, second), beds, _ = await rounds(gateway, [1, 2], 2.0)
    assert second > 3
    assert beds[1].links[-1].state == "live"
