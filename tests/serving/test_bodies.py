"""Bodies are read as one timer for each read would have it, though one timer serves them all."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from tidewheel.serving import bodies
from tidewheel.serving.bodies import BodyReader

BYTES_MAX, PATIENCE_S = 4, 0.05
LONG_S = 30.0

Read = Callable[[Receive], Awaitable[bytes]]


def plain_reader(bytes_max: int, patience_s: float) -> Read:
    """Read with a timer for each read: what `BodyReader` must be like."""

    async def read(receive: Receive) -> bytes:
        body, more = b"", True
        async with asyncio.timeout(patience_s):
            while more and len(body) <= bytes_max + bodies.DISCARD_BYTES_MAX:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body += message.get("body", b"")
                more = message.get("more_body", False)
        return body

    return read


def shared_reader(bytes_max: int, patience_s: float) -> Read:
    return BodyReader(bytes_max, patience_s).read


@pytest.fixture(params=[plain_reader, shared_reader], ids=["a timer for each", "one timer"])
def reader(request: pytest.FixtureRequest) -> Callable[[int, float], Read]:
    found: Callable[[int, float], Read] = request.param
    return found


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    def run(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main)

    return run


def part(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def sender(*messages: Message) -> Receive:
    """Give these messages, then nothing for ever."""
    left = list(messages)

    async def receive() -> Message:
        return left.pop(0) if left else await asyncio.get_running_loop().create_future()

    return receive


@pytest.mark.parametrize(
    ("messages", "body"),
    [
        ([part(b"")], b""),
        ([part(b"abcd")], b"abcd"),
        ([part(b"ab", more=True), part(b"", more=True), part(b"cd")], b"abcd"),
        ([{"type": "http.request"}], b""),
        ([part(b"abcdef")], b"abcdef"),
    ],
    ids=["empty", "whole", "in parts", "without fields", "too long"],
)
def test_a_body_is_read_to_its_end(
    reader: Callable[[int, float], Read], run: Callable[..., None], messages: list[Message], body: bytes
) -> None:
    async def main() -> None:
        assert await reader(BYTES_MAX, LONG_S)(sender(*messages)) == body

    run(main())


def test_of_a_body_that_is_too_long_just_enough_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [part(b"abc", more=True)] * 5
    assert asyncio.run(BodyReader(BYTES_MAX, LONG_S).read(sender(*parts, part(b"x")))) == b"abcabc"
    # Of one without end no more is read than is thrown away.
    monkeypatch.setattr(bodies, "DISCARD_BYTES_MAX", 10)
    assert asyncio.run(BodyReader(BYTES_MAX, LONG_S).read(sender(*parts))) == b"abcabc"


@pytest.mark.parametrize("began", [[], [part(b"ab", more=True)]], ids=["nothing", "a part"])
def test_a_body_that_does_not_arrive_is_waited_for_so_long(
    reader: Callable[[int, float], Read], run: Callable[..., None], began: list[Message]
) -> None:
    async def main() -> None:
        since = time.monotonic()
        with pytest.raises(TimeoutError):
            await reader(BYTES_MAX, PATIENCE_S)(sender(*began))
        assert PATIENCE_S - 0.005 <= time.monotonic() - since < LONG_S
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    run(main())


def test_a_caller_who_leaves_ends_the_read(
    reader: Callable[[int, float], Read], run: Callable[..., None]
) -> None:
    async def main() -> None:
        with pytest.raises(ClientDisconnect):
            await reader(BYTES_MAX, LONG_S)(sender(part(b"a", more=True), {"type": "http.disconnect"}))
        task = asyncio.ensure_future(reader(BYTES_MAX, LONG_S)(sender()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_a_caller_who_leaves_as_the_time_ends_is_not_answered(
    reader: Callable[[int, float], Read], run: Callable[..., None]
) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(reader(BYTES_MAX, PATIENCE_S)(sender()))
        await asyncio.sleep(0)
        # Both are due when the loop looks again, the time's end first.
        asyncio.get_running_loop().call_later(PATIENCE_S, task.cancel)
        time.sleep(2 * PATIENCE_S)
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_each_read_has_its_own_time(reader: Callable[[int, float], Read], run: Callable[..., None]) -> None:
    async def main() -> None:
        read, ended, later = reader(BYTES_MAX, 4 * PATIENCE_S), [], asyncio.Event()

        async def wait_for_body(name: str) -> None:
            with pytest.raises(TimeoutError):
                await read(sender())
            ended.append((name, time.monotonic()))

        async def read_and_stay() -> None:
            assert await read(sender(part(b"a"))) == b"a"
            await later.wait()

        stays = asyncio.create_task(read_and_stay())
        first = asyncio.create_task(wait_for_body("first"))
        await asyncio.sleep(2 * PATIENCE_S)
        second = asyncio.create_task(wait_for_body("second"))
        began = time.monotonic()
        await first
        # Neither is ended with the first: who reads still has time, and who has read is done with it.
        assert not second.done()
        await second
        assert time.monotonic() - began >= 4 * PATIENCE_S - 0.005
        assert [name for name, _ in ended] == ["first", "second"]
        later.set()
        await stays

    run(main())


def test_one_timer_serves_all_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        loop, made = asyncio.get_running_loop(), 0
        call_later = loop.call_later

        def count(*arguments: Any, **named: Any) -> asyncio.TimerHandle:
            nonlocal made
            made += 1
            return call_later(*arguments, **named)

        monkeypatch.setattr(loop, "call_later", count)
        read = BodyReader(BYTES_MAX, LONG_S).read
        assert [await read(sender(part(b"a"))) for _ in range(100)] == [b"a"] * 100
        assert made == 1

    asyncio.run(main())
