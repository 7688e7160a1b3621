"""Clocks and ports."""

import os
import socket
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tidewheel.errors import InputError, PortInUseError
from tidewheel.operations.clock import Clock, EventClock, WallClock
from tidewheel.operations.ports import LOOPBACK, check_port, free_port, free_ports

APRIL = datetime(2013, 4, 1, tzinfo=UTC)


@pytest.mark.parametrize("clock", [WallClock(), EventClock(APRIL)], ids=["wall", "event"])
def test_clocks_tell_aware_utc_and_never_go_back(clock: Clock) -> None:
    first, second = clock.now_utc(), clock.now_utc()
    assert first.utcoffset() == timedelta(0)
    assert second >= first


def test_an_event_clock_stands_until_it_is_advanced() -> None:
    clock = EventClock(APRIL)
    new_york = timezone(timedelta(hours=-4))
    clock.advance_to(datetime(2013, 4, 1, 8, tzinfo=new_york))
    assert clock.now_utc() == datetime(2013, 4, 1, 12, tzinfo=UTC)
    clock.advance_to(clock.now_utc())
    with pytest.raises(InputError, match=r"never goes back; it stands at 2013-04-01 12:00"):
        clock.advance_to(APRIL)
    with pytest.raises(InputError, match="time zone"):
        EventClock(datetime(2013, 4, 1))


def test_free_ports_differ_and_can_be_bound() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        check_port(LOOPBACK, port)


def test_a_port_in_use_is_refused_with_its_holder() -> None:
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(
            PortInUseError, match=rf"port {port} on {LOOPBACK} .* \(held by process {os.getpid()}, "
        ):
            check_port(LOOPBACK, port)
    check_port(LOOPBACK, free_port())
