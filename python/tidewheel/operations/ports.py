"""Ports of this machine: finding free ones, and refusing one that somebody else holds.

A free port is free when it is looked at; whoever binds it next has it. All ports of one start are therefore drawn together
(`free_ports`), and a service that finds its port taken says so in its own log.
"""

import contextlib
import ipaddress
import socket
from collections.abc import Iterable

import psutil

from tidewheel.errors import PortInUseError

LOOPBACK = "127.0.0.1"


def free_port(host: str = LOOPBACK) -> int:
    """Give a port of `host` on which nobody listens."""
    return free_ports(1, host)[0]


def free_ports(n: int, host: str = LOOPBACK) -> list[int]:
    """Give `n` different ports of `host` on which nobody listens."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind((host, 0))
        return [int(one.getsockname()[1]) for one in sockets]


def check_port(host: str, port: int) -> None:
    """Refuse a port that cannot be bound.

    Raises:
        PortInUseError: Somebody listens there (named by process where this user may see it), or the port may not be
            bound at all.
    """
    with socket.socket() as trial:
        # As servers do: a port whose last connections are still fading away is free.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise PortInUseError(
                f"port {port} on {host} cannot be taken: {error.strerror}{_holder(port)}; choose another port"
            ) from error


def find_listeners(processes: Iterable[psutil.Process]) -> dict[tuple[str, int], str]:
    """Give every address and port on which one of these processes takes connections or datagrams, and its command."""
    found = {}
    for process in processes:
        with contextlib.suppress(psutil.Error):  # helpers of a start come and go
            for one in process.net_connections(kind="inet"):
                if one.laddr and (one.status == psutil.CONN_LISTEN or one.type == socket.SOCK_DGRAM):
                    found[str(one.laddr.ip), int(one.laddr.port)] = " ".join(process.cmdline())
    return found


def is_loopback(address: str) -> bool:
    """Say whether an address of an open port is reached from this machine alone.

    Example:
        >>> [is_loopback(address) for address in ("127.0.0.1", "::ffff:127.0.0.1", "::1", "0.0.0.0", "::")]
        [True, True, True, False, False]
    """
    found = ipaddress.ip_address(address)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def _holder(port: int) -> str:
    """Name the process that listens on `port`, as far as it can be seen."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            here = (
                connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            )
            if here and connection.pid:
                return f" (held by process {connection.pid}, {psutil.Process(connection.pid).name()})"
    return ""
