"""Free ports, and ports that are taken."""

import os
import socket

import pytest

from tidewheel.errors import PortInUseError
from tidewheel.operations.ports import LOOPBACK, check_port, free_port, free_ports


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
