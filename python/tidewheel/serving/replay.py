"""Send logged requests to a server on this machine, fast, and count what came back.

What belongs here: the client. What does not: making requests of rows (the flows), judging the answers (the log does).

Clever: a client of its own on bare sockets, reading of each answer only its status and its end. Client and server share the
processor in a rehearsal; `http.client` spends more time on parsing headers than our server on answering, and httpx ten times
that. `tests/serving/test_replay.py` holds it against servers that answer in every way HTTP/1.1 allows.
"""

import ipaddress
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidewheel.errors import InputError

PROGRESS_EVERY = 100
"""`progress` is called after so many requests, and at the end."""

ANSWER_BYTES_MAX = 64 << 20
"""A longer answer counts as none: no prediction is that long."""

_RECEIVE_BYTES = 1 << 16

# Of the head in lower case.
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)")
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked")
_CLOSE = re.compile(rb"\r\nconnection:[^\r]*close")


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Count requests: `sent` = `answered` + `errors`.

    `answered` got an HTTP answer of whatever status (`statuses` counts them); `errors` got none in time, or none at all.
    `latencies_ms` are of the answered ones, in no certain order.
    """

    sent: int
    answered: int
    errors: int
    statuses: dict[int, int]
    latencies_ms: NDArray[np.float64]


def replay(
    url: str,
    requests: Iterable[Mapping[str, Any]],
    *,
    connections: int = 16,
    timeout_s: float = 10.0,
    progress: Callable[[int], None] | None = None,
) -> ReplayResult:
    """POST each request to `url` over a fixed number of kept-alive connections, each waiting for its answer.

    A request that fails is counted, never raised. If a kept-alive connection turns out to have been closed, the request is
    sent once more over a new one.

    Args:
        url: `http://` on a loopback address, such as http://127.0.0.1:8000/predict.
        requests: Bodies to be sent as JSON; read one by one as connections get free.
        connections: How many requests are on their way at once.
        timeout_s: Longest wait for one answer.
        progress: Called with the number of requests done so far, now and then, by one thread at a time.

    Returns:
        The counts and latencies.

    Raises:
        InputError: `url` is not http on a loopback address, or `connections` or `timeout_s` is not positive.
        Whatever `requests` or `progress` raises, after the requests on their way have ended.
    """
    if connections < 1 or not timeout_s > 0.0:
        raise InputError(
            f"`connections` and `timeout_s` must be positive; got {connections!r} and {timeout_s!r}"
        )
    target = _target(url)
    run = _Run(requests, progress)
    threads = [
        threading.Thread(target=run.work, args=(_Connection(*target, timeout_s),), name=f"replay {number}")
        for number in range(connections)
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as interrupt:  # by the keyboard: let what is on its way end
        run.stop(interrupt)
        raise
    return run.result()


def _target(url: str) -> tuple[str, int, str]:
    """Read host, port and path of a URL; refuse what is not on this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        port = parts.port or 80
    except ValueError:
        is_loopback = False
    if parts.scheme != "http" or not is_loopback:
        raise InputError(
            f"`url` must be http on a loopback address, since logged requests must not leave this machine; got {url!r}"
        )
    return host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


class _Run:
    """Hand out requests to the threads and gather what came of them."""

    def __init__(self, requests: Iterable[Mapping[str, Any]], progress: Callable[[int], None] | None) -> None:
        self._requests = iter(requests)
        self._progress = progress
        self._lock = threading.Lock()
        self._done = self._errors = 0
        self._statuses: Counter[int] = Counter()
        self._latencies_ms: list[float] = []
        self._failure: BaseException | None = None

    def work(self, connection: "_Connection") -> None:
        """Send requests over one connection until there are no more."""
        with connection:
            for body in self._bodies():
                began = time.perf_counter()
                try:
                    status: int | None = connection.post(body)
                except (OSError, ValueError):
                    status = None
                self._count(status, (time.perf_counter() - began) * 1000.0)

    def stop(self, failure: BaseException) -> None:
        """Send no further request."""
        with self._lock:
            self._failure = self._failure or failure

    def result(self) -> ReplayResult:
        """Give the counts, or raise what stopped the run."""
        if self._failure is not None:
            raise self._failure
        if self._progress is not None and self._done % PROGRESS_EVERY:
            self._progress(self._done)
        return ReplayResult(
            sent=self._done,
            answered=self._done - self._errors,
            errors=self._errors,
            statuses=dict(sorted(self._statuses.items())),
            latencies_ms=np.array(self._latencies_ms),
        )

    def _bodies(self) -> Iterator[bytes]:
        while True:
            with self._lock:
                if self._failure is not None:
                    return
                try:
                    body = msgspec.json.encode(next(self._requests))
                except StopIteration:
                    return
                except BaseException as failure:
                    self._failure = failure
                    return
            yield body

    def _count(self, status: int | None, latency_ms: float) -> None:
        with self._lock:
            self._done += 1
            if status is None:
                self._errors += 1
            else:
                self._statuses[status] += 1
                self._latencies_ms.append(latency_ms)
            if self._progress is not None and self._done % PROGRESS_EVERY == 0:
                try:
                    self._progress(self._done)
                except BaseException as failure:
                    self._failure = failure


class _Connection:
    """One kept-alive connection, opened at need."""

    def __init__(self, host: str, port: int, path: str, timeout_s: float) -> None:
        self._address = (host, port)
        self._timeout_s = timeout_s
        name = f"[{host}]" if ":" in host else host
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {name}:{port}\r\nContent-Type: application/json\r\nContent-Length: "
        ).encode("ascii")
        self._socket: socket.socket | None = None
        self._deadline = 0.0

    def __enter__(self) -> "_Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def post(self, body: bytes) -> int:
        """Send a body and give the status of the answer.

        Raises:
            OSError: No connection, or no answer in time.
            ValueError: The answer is not HTTP, or was cut off.
        """
        self._deadline = time.monotonic() + self._timeout_s
        was_open = self._socket is not None
        try:
            try:
                return self._exchange(body)
            except ConnectionError:  # not a byte of an answer came
                self._close()
                if not was_open:
                    raise
                return self._exchange(body)
        except BaseException:
            self._close()
            raise

    def _exchange(self, body: bytes) -> int:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, self._timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(self._time_left())
        self._socket.sendall(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
        answer = bytearray()
        self._receive(answer)
        try:
            return self._read(answer)
        except ConnectionError as error:
            raise ValueError("the answer was cut off") from error

    def _read(self, answer: bytearray) -> int:
        """Read one answer to its end, and close the connection unless it may be used again."""
        head_end = self._find(answer, b"\r\n\r\n", 0)
        head = bytes(answer[:head_end]).lower()
        if not head.startswith(b"http/1."):
            raise ValueError(f"the answer must be HTTP/1; got {head[:20]!r}")
        status = int(head[9:12])
        body_start = head_end + 4
        if status < 200:  # an interim answer, such as 100 Continue: the real one follows
            return self._read(answer[body_start:])
        length = _LENGTH.search(head)
        if _CHUNKED.search(head):
            end = self._skip_chunks(answer, body_start)
        elif length or status in (204, 304):
            end = body_start + (int(length[1]) if length else 0)
            self._fill(answer, end)
        else:  # its end is that of the connection
            end = -1
            with suppress(ConnectionError):
                while True:
                    self._receive(answer)
        if end != len(answer) or head.startswith(b"http/1.0") or _CLOSE.search(head):
            self._close()
        return status

    def _skip_chunks(self, answer: bytearray, start: int) -> int:
        """Give the place after the last chunk of a body that begins at `start`."""
        while True:
            line_end = self._find(answer, b"\r\n", start)
            size = int(bytes(answer[start:line_end]).split(b";")[0], 16)
            if size == 0:
                return self._find(answer, b"\r\n\r\n", line_end) + 4
            start = line_end + 2 + size + 2
            self._fill(answer, start)

    def _find(self, answer: bytearray, mark: bytes, start: int) -> int:
        while (place := answer.find(mark, start)) < 0:
            self._receive(answer)
        return place

    def _fill(self, answer: bytearray, end: int) -> None:
        while len(answer) < end:
            self._receive(answer)

    def _receive(self, answer: bytearray) -> None:
        """Take in more of an answer.

        Raises:
            ConnectionError: The connection ended.
            TimeoutError: Nothing came in time.
            ValueError: The answer is too long.
        """
        assert self._socket is not None, "an answer is read from an open connection"
        self._socket.settimeout(self._time_left())
        received = self._socket.recv(_RECEIVE_BYTES)
        if not received:
            raise ConnectionResetError("the server closed the connection")
        answer += received
        if len(answer) > ANSWER_BYTES_MAX:
            raise ValueError(f"an answer must have at most {ANSWER_BYTES_MAX} bytes; got more")

    def _time_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0.0:
            raise TimeoutError(f"no answer within {self._timeout_s:g} s")
        return left

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
