"""Where a replica listens: on loopback alone.

Serve 2.60 binds the server through which replicas call each other to all interfaces, and has no setting for it. Ray is
pinned to 2.60.x; `tests/serving/test_open_front.py` looks at every port.
"""

from typing import Any

from ray._common.tls_utils import add_port_to_grpc_server
from ray.serve._private import replica

from tidewheel.errors import ServiceError

_EVERYWHERE = "[::]:0"


def listen_on_loopback() -> None:
    """Have the replica of this process bind its server for other replicas to loopback; call it before the replica is ready.

    Raises:
        ServiceError: Serve is another one than we know.
    """
    if not hasattr(replica, "add_port_to_grpc_server"):
        raise ServiceError(
            "replicas must listen on loopback alone; this version of Ray Serve cannot be told to"
        )
    replica.add_port_to_grpc_server = _add_port


def _add_port(server: Any, address: str) -> int:
    port: int = add_port_to_grpc_server(server, "127.0.0.1:0" if address == _EVERYWHERE else address)
    return port
