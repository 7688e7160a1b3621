"""A client that costs little: one process, one thread, raw sockets and epoll; run with `python load_client.py`.

Arguments: port, path, connections, seconds, and a file of request bodies (JSON lines). Prints JSON: requests answered with
200, other answers, and latencies in milliseconds at 50, 95 and 99 %. `wrk` is not in the package index; this client takes
some 30 us for a request, a twentieth of what the server takes.
"""

import json
import selectors
import socket
import sys
import time
from pathlib import Path


def prepare(path: str, bodies: Path) -> list[bytes]:
    """Write out the requests once, heads included."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
    return [
        head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body
        for body in bodies.read_bytes().splitlines()
    ]


def is_complete(answer: bytes) -> bool:
    """Say whether head and body are there; by length or by last chunk."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    _, _, length = head.lower().partition(b"content-length:")
    # Serve sends what a deployment returns as a dictionary in chunks.
    return len(body) >= int(length.split(b"\r\n", 1)[0]) if length else body.endswith(b"0\r\n\r\n")


def main() -> None:
    port, path, connections, seconds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    requests = prepare(path, Path(sys.argv[5]))
    parts: dict[socket.socket, bytes] = {}
    chooser = selectors.EpollSelector()
    began_at: dict[socket.socket, float] = {}
    latencies, others, example, sent = [], 0, "", 0
    clock = time.perf_counter
    for _ in range(connections):
        one = socket.create_connection(("127.0.0.1", port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        chooser.register(one, selectors.EVENT_READ)
        began_at[one] = clock()
        one.sendall(requests[sent % len(requests)])
        sent += 1
    began = clock()
    while (now := clock()) - began < seconds:
        for key, _ in chooser.select(1.0):
            one = key.fileobj
            received = one.recv(65536)
            assert received, "the server closed a connection"
            answer = parts.pop(one, b"") + received
            if not is_complete(answer):
                parts[one] = answer
                continue
            now = clock()
            if answer.startswith(b"HTTP/1.1 200"):
                latencies.append(now - began_at[one])
            else:
                others += 1
                example = answer.decode(errors="replace")[:500]
            began_at[one] = now
            one.sendall(requests[sent % len(requests)])
            sent += 1
    latencies.sort()
    n = len(latencies)
    at = {f"p{share}": 1000 * latencies[min(n - 1, n * share // 100)] for share in (50, 95, 99)}
    print(json.dumps({"ok": n, "others": others, "example": example, "per_s": n / (now - began), **at}))


if __name__ == "__main__":
    main()
