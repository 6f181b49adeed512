"""A Modbus line in front of Modbus twins: bytes in, bytes out, framed by pymodbus, over TCP (MBAP) or RTU.

The line is a byte-stream twin itself, so the same wires, with the same faults, carry it. Refusals become exception
answers. A unit nobody has is silent on RTU, as a real bus is; over TCP it is answered as a gateway does (exception 11).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Literal

from pymodbus.constants import ExcCodes
from pymodbus.framer.rtu import FramerRTU
from pymodbus.framer.socket import FramerSocket
from pymodbus.pdu import DecodePDU

from drivers.kit.registers import packed
from simulators.contract import Hands, ModbusTwin, Refused
from simulators.faults import Faults

_LONGEST = 260  # a Modbus TCP frame; an RTU frame has at most 256 bytes
_SILENT_S = 0.1  # real seconds without a byte that end an RTU frame; the standard's 3.5 characters, and a host's jitter
_MOST_BITS, _MOST_WORDS = 2000, 125  # Modbus application protocol V1.1b3, 6.1 and 6.3
_MOST_BITS_WRITTEN, _MOST_WORDS_WRITTEN = 1968, 123  # 6.11 and 6.12


class NoResponse(Exception):
    """The twin says nothing at all (it is mute)."""


class ModbusLine:
    """The twins of one bus, by unit (0 to 255 over TCP, 1 to 247 on RTU). `hands` is empty: hands are the twins'.

    Whoever owns the twins steps them, once, however many lines lead to them. `clock` tells real seconds.
    """

    def __init__(
        self, twins: Mapping[int, ModbusTwin], mode: Literal["tcp", "rtu"], clock: Callable[[], float],
        faults: Faults | None = None,
    ) -> None:
        self.hands: Hands = {}
        self.twins = twins
        self.mode = mode
        self._faults = faults
        decoder = DecodePDU(True)
        self._framer: FramerRTU | FramerSocket = FramerRTU(decoder) if mode == "rtu" else FramerSocket(decoder)
        self._held = b""
        self._clock = clock
        self._received_s = float("-inf")

    def connect(self) -> None:
        self._held = b""

    def step(self, dt_s: float) -> bytes:
        """A bus says nothing by itself."""
        return b""

    def feed(self, data: bytes) -> bytes:
        """The answers to the requests that `data` completes."""
        now_s = self._clock()
        if self.mode == "rtu" and now_s - self._received_s > _SILENT_S:
            self._held = b""
        self._received_s = now_s
        self._held += data
        said = b""
        while self._held:
            used, unit, transaction, request = self._framer.decode(self._held)
            if not used:
                break
            self._held = self._held[used:]
            if request:
                said += self._said(unit, request, transaction)
        if self._hopeless():
            self._held = b""
        return said

    def _hopeless(self) -> bool:
        """Whether what is held can never become a request: too long, or no MBAP header."""
        return len(self._held) > _LONGEST or (self.mode == "tcp" and self._held[2:4] not in (b"", b"\x00", b"\x00\x00"))

    def _said(self, unit: int, request: bytes, transaction: int) -> bytes:
        if self._faults is None or unit == 0:
            return self._frame(self._serve(unit, request), unit, transaction)
        other, answer = self._faults.modbus(unit, request, lambda pdu: self._serve(unit, pdu))
        return self._frame(answer, other, transaction)

    def _frame(self, answer: bytes, unit: int, transaction: int) -> bytes:
        return self._framer.encode(answer, unit, transaction) if answer else b""

    def _serve(self, unit: int, request: bytes) -> bytes:
        if unit == 0 and self.mode == "rtu":  # broadcast: everybody acts, nobody answers
            for twin in self.twins.values():
                respond(twin, request)
            return b""
        twin_ = self.twins.get(unit)
        if twin_ is not None:
            return respond(twin_, request)
        return _exception(request[0], ExcCodes.GATEWAY_NO_RESPONSE) if self.mode == "tcp" else b""


def respond(twin: ModbusTwin, request: bytes) -> bytes:
    """The PDU that answers the PDU `request` (empty: no answer). Layouts: Modbus application protocol V1.1b3, 6."""
    serve = _SERVED.get(request[0])
    try:
        if serve is None:
            raise Refused(ExcCodes.ILLEGAL_FUNCTION)
        return serve(twin, request)
    except struct.error:
        return _exception(request[0], ExcCodes.ILLEGAL_VALUE)
    except Refused as refused:
        return _exception(request[0], refused.code)
    except NoResponse:
        return b""


def _exception(function: int, code: int) -> bytes:
    return bytes((function | 0x80, code))


def _span(request: bytes, most: int) -> tuple[int, int]:
    address, count = struct.unpack_from(">HH", request, 1)
    if not 1 <= count <= most:
        raise Refused(ExcCodes.ILLEGAL_VALUE)
    if address + count > 0x10000:
        raise Refused(ExcCodes.ILLEGAL_ADDRESS)
    return address, count


def _read_bits(twin: ModbusTwin, request: bytes) -> bytes:
    bits = packed(twin.read(request[0], *_span(request, _MOST_BITS)))
    return bytes((request[0], len(bits))) + bits


def _read_words(twin: ModbusTwin, request: bytes) -> bytes:
    words = twin.read(request[0], *_span(request, _MOST_WORDS))
    return struct.pack(f">BB{len(words)}H", request[0], 2 * len(words), *words)


def _write_one(twin: ModbusTwin, request: bytes) -> bytes:
    address, value = struct.unpack_from(">HH", request, 1)
    if request[0] == 5:
        if value not in (0x0000, 0xFF00):
            raise Refused(ExcCodes.ILLEGAL_VALUE)
        value = int(value == 0xFF00)
    twin.write(request[0], address, (value,))
    return request[:5]


def _write_bits(twin: ModbusTwin, request: bytes) -> bytes:
    address, count = _span(request, _MOST_BITS_WRITTEN)
    data = request[6:]
    if request[5:6] != bytes(((count + 7) // 8,)) or len(data) != request[5]:
        raise Refused(ExcCodes.ILLEGAL_VALUE)
    twin.write(15, address, [data[place // 8] >> place % 8 & 1 for place in range(count)])
    return request[:5]


def _write_words(twin: ModbusTwin, request: bytes) -> bytes:
    address, count = _span(request, _MOST_WORDS_WRITTEN)
    if request[5:6] != bytes((2 * count,)) or len(request) != 6 + 2 * count:
        raise Refused(ExcCodes.ILLEGAL_VALUE)
    twin.write(16, address, struct.unpack_from(f">{count}H", request, 6))
    return request[:5]


_SERVED: Mapping[int, Callable[[ModbusTwin, bytes], bytes]] = {
    1: _read_bits,
    2: _read_bits,
    3: _read_words,
    4: _read_words,
    5: _write_one,
    6: _write_one,
    15: _write_bits,
    16: _write_words,
}
