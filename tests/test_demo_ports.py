"""Holds a demonstration to ports that no other one takes: they may start at the same moment."""

from __future__ import annotations

import socket

import pytest

from edge.demo.configuration import Ports
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
