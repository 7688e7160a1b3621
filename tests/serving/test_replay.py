import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tidewheel.errors import InputError
from tidewheel.serving.replay import PROGRESS_EVERY, replay


class Handler(BaseHTTPRequestHandler):
    """Answer with the status that the request asks for, and remember who asked."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        assert self.headers["Host"] == f"127.0.0.1:{self.server.server_port}"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.seen.append((body["request_id"], self.client_address, self.path))
        answer = json.dumps({"request_id": body["request_id"]}).encode()
        self.send_response(body.get("status", 200))
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.seen, server.lock = [], threading.Lock()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@contextmanager
def scripted(answer: Callable[[socket.socket, int], bool]) -> Iterator[tuple[str, list[int]]]:
    """Serve on a bare socket: `answer` gets each whole request with its number, and says whether to keep the connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    numbers: list[int] = []
    open_sockets = []

    def serve(client: socket.socket) -> None:
        with client:
            while read_request(client):
                numbers.append(len(numbers))
                if not answer(client, numbers[-1]):
                    return

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            open_sockets.append(client)
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/predict", numbers
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for client in open_sockets:
            client.close()
        thread.join(10)


def read_request(client: socket.socket) -> bool:
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            received = client.recv(65536)
            if not received:
                return False
            data += received
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += client.recv(65536)
    except OSError:
        return False
    return True


def requests(n: int) -> Iterator[dict[str, object]]:
    return ({"request_id": f"r{number}"} for number in range(n))


def url_of(server: ThreadingHTTPServer, path: str = "/predict") -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def test_every_request_arrives_once_over_few_connections(server: ThreadingHTTPServer) -> None:
    result = replay(url_of(server, "/predict?a=1"), requests(500), connections=4)
    assert (result.sent, result.answered, result.errors, result.statuses) == (500, 500, 0, {200: 500})
    assert sorted(name for name, _, _ in server.seen) == sorted(f"r{number}" for number in range(500))
    assert len({address for _, address, _ in server.seen}) <= 4
    assert {path for _, _, path in server.seen} == {"/predict?a=1"}
    assert result.latencies_ms.shape == (500,)
    assert (result.latencies_ms > 0).all()


def test_refusals_are_answers(server: ThreadingHTTPServer) -> None:
    bodies = [{"request_id": str(number), "status": (200, 422, 503)[number % 3]} for number in range(30)]
    result = replay(url_of(server), bodies, connections=3)
    assert result.statuses == {200: 10, 422: 10, 503: 10}
    assert (result.answered, result.errors) == (30, 0)


def test_requests_are_taken_only_as_connections_get_free(server: ThreadingHTTPServer) -> None:
    taken = []

    def watched() -> Iterator[dict[str, object]]:
        for body in requests(50):
            taken.append(len(taken) - len(server.seen))
            yield body

    replay(url_of(server), watched(), connections=5)
    assert max(taken) <= 5


def test_progress_comes_now_and_then_and_at_the_end(server: ThreadingHTTPServer) -> None:
    calls: list[int] = []
    replay(url_of(server), requests(2 * PROGRESS_EVERY + 7), progress=calls.append)
    assert calls == [PROGRESS_EVERY, 2 * PROGRESS_EVERY, 2 * PROGRESS_EVERY + 7]


def test_no_request_gives_an_empty_result(server: ThreadingHTTPServer) -> None:
    result = replay(url_of(server), [])
    assert (result.sent, result.statuses, result.latencies_ms.size) == (0, {}, 0)


def test_an_error_of_the_requests_is_raised_when_all_have_ended(server: ThreadingHTTPServer) -> None:
    def broken() -> Iterator[dict[str, object]]:
        yield from requests(10)
        raise LookupError("no more rows")

    with pytest.raises(LookupError, match="no more rows"):
        replay(url_of(server), broken(), connections=3)
    with pytest.raises(TypeError, match="object"):
        replay(url_of(server), [{"request_id": object()}], connections=3)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("replay")]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/predict",
        "http://10.0.0.7:8000/predict",
        "http://127.0.0.1.example.org/predict",
        "http://0.0.0.0:8000/predict",
        "http://user@192.168.1.2/predict",
        "https://127.0.0.1/predict",
        "127.0.0.1:8000/predict",
        "http://127.0.0.1:notaport/predict",
    ],
)
def test_only_this_machine_is_sent_to(url: str) -> None:
    with pytest.raises(InputError, match="`url` must be http on a loopback address"):
        replay(url, requests(1))


@pytest.mark.parametrize(("connections", "timeout_s"), [(0, 1.0), (1, 0.0), (1, float("nan"))])
def test_limits_are_positive(connections: int, timeout_s: float) -> None:
    with pytest.raises(InputError, match="must be positive"):
        replay("http://127.0.0.1:1/predict", [], connections=connections, timeout_s=timeout_s)


def test_a_server_that_is_not_there_costs_every_request_and_no_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    result = replay(f"http://127.0.0.1:{port}/predict", requests(20), connections=2)
    assert (result.sent, result.answered, result.errors, result.statuses) == (20, 0, 20, {})


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
ANSWERS = {
    "length": OK,
    "length in capitals, no space": b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH:2\r\n\r\n{}",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\n{  \r\nA\r\n         }\r\n0\r\n\r\n",
    "chunked with trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n",
    "empty": b"HTTP/1.1 204 No Content\r\n\r\n",
    "continue first": b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_answers_of_every_form_keep_the_connection(answer: bytes, piece: int) -> None:
    clients = set()

    def respond(client: socket.socket, _: int) -> bool:
        clients.add(client)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(answer), piece):
            client.sendall(answer[start : start + piece])
        return True

    with scripted(respond) as (url, numbers):
        result = replay(url, requests(5), connections=1, timeout_s=5)
    assert (result.answered, result.errors, len(numbers), len(clients)) == (5, 0, 5, 1)
    assert result.statuses in ({200: 5}, {204: 5})


CLOSING = {
    "until closed": b"HTTP/1.1 200 OK\r\n\r\n{}",
    "says so": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
    "old protocol": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "closes without a word": OK,
}


@pytest.mark.parametrize("answer", CLOSING.values(), ids=CLOSING.keys())
def test_a_connection_that_was_closed_is_opened_again(answer: bytes) -> None:
    def respond(client: socket.socket, _: int) -> bool:
        client.sendall(answer)
        return False

    with scripted(respond) as (url, numbers):
        result = replay(url, requests(5), connections=1, timeout_s=5)
    assert (result.statuses, result.errors, len(numbers)) == ({200: 5}, 0, 5)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
    ],
    ids=["nothing", "half a head", "half a body", "bad chunk", "not http", "no status"],
)
def test_a_broken_answer_is_counted_and_the_next_one_is_not_harmed(answer: bytes) -> None:
    def respond(client: socket.socket, number: int) -> bool:
        client.sendall(answer if number == 1 else OK)
        return number != 1

    with scripted(respond) as (url, numbers):
        result = replay(url, requests(4), connections=1, timeout_s=5)
    # Where nothing was said, the request is sent again over a new connection.
    expected = (4, 0, 5) if answer == b"" else (3, 1, 4)
    assert (result.answered, result.errors, len(numbers)) == expected


def test_a_fresh_connection_that_is_dropped_is_not_tried_again() -> None:
    with scripted(lambda client, number: False) as (url, numbers):
        result = replay(url, requests(3), connections=1, timeout_s=5)
    assert (result.errors, len(numbers)) == (3, 3)


def test_a_slow_answer_is_counted_after_its_time_however_it_trickles() -> None:
    ended = threading.Event()

    def respond(client: socket.socket, number: int) -> bool:
        if number == 0:
            while not ended.wait(0.02):
                try:
                    client.sendall(b"H")
                except OSError:
                    return False
            return False
        client.sendall(OK)
        return True

    with scripted(respond) as (url, _):
        began = time.monotonic()
        result = replay(url, requests(2), connections=1, timeout_s=0.3)
        ended.set()
    assert (result.statuses, result.errors) == ({200: 1}, 1)
    assert time.monotonic() - began < 5


def test_it_is_faster_than_the_standard_client() -> None:
    """The reason for a client of our own: less processor time for each request, in this process."""

    def answer(client: socket.socket, _: int) -> bool:
        client.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: x\r\nDate: y\r\nContent-Length: 2\r\n\r\n{}"
        )
        return True

    bodies = list(requests(400))
    with scripted(answer) as (url, _):
        port = int(url.split(":")[2].split("/")[0])
        own = min(cpu_seconds(lambda: replay(url, bodies, connections=1)) for _ in range(3))
        standard = min(cpu_seconds(lambda: send_by_standard_client(port, bodies)) for _ in range(3))
    assert own < 0.8 * standard, (own, standard)


def cpu_seconds(act: Callable[[], object]) -> float:
    began = time.process_time()
    act()
    return time.process_time() - began


def send_by_standard_client(port: int, bodies: list[dict[str, object]]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for body in bodies:
        connection.request(
            "POST", "/predict", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        connection.getresponse().read()
    connection.close()
