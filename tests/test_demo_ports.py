"""Holds a demonstration to ports that no other one takes: they may start at the same moment."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from edge.demo import configuration
from edge.demo.configuration import ANY_TRIES, Ports
from edge.process import BadUsage


def test_two_that_start_at_once_take_different_ports_before_either_listens() -> None:
    first, second = Ports(), Ports()
    try:
        mine, theirs = [[ports.take(None), ports.take(), ports.take()] for ports in (first, second)]
        assert len({*mine, *theirs}) == 6
        with pytest.raises(BadUsage, match=f"port {mine[0]} cannot be used .*; give another --port"):
            second.take(mine[0])
    finally:
        first.close()
        second.close()


def test_a_port_is_free_again_when_the_demonstration_is_over() -> None:
    ports = Ports()
    port = ports.take()
    ports.close()
    again = Ports()
    assert again.take(port) == port
    again.close()


def test_a_port_that_some_other_program_listens_on_is_not_taken() -> None:
    ports = Ports()
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(BadUsage, match="in use"):
        ports.take(other.getsockname()[1])
    ports.close()


def test_none_is_one_that_the_kernel_gives_to_outgoing_connections() -> None:
    """An edge that calls its broker again and again would be given the broker's own while that is away."""
    first, last = (int(word) for word in Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = Ports()
    assert not [port for port in (ports.take() for _ in range(50)) if first <= port <= last]
    ports.close()


@pytest.mark.parametrize(("range_", "outside"), [("10020 65000", True), ("10019 65000", False), ("1024 65535", False)])
def test_a_machine_that_leaves_too_few_others_gives_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, range_: str, outside: bool,
) -> None:
    (tmp_path / "range").write_text(range_.replace(" ", "\t") + "\n")
    monkeypatch.setattr(configuration, "_OUTGOING", tmp_path / "range")
    ports = Ports()
    assert (10_000 <= ports.take() < 10_000 + ANY_TRIES) is outside
    ports.close()
