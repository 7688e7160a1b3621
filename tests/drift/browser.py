"""A real Chromium for tests of pages, driven over a pipe by its own protocol (DevTools); nothing to install beside it.

A tab notes what a page asks of the network and what it complains about, clicks and types as a user does, and takes
pictures. `find_browser` says what to install where there is none; nothing is ever skipped for want of it.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: What the program is called by Debian, by others, and by Google.
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage",
    "--no-first-run", "--hide-scrollbars", "--force-color-profile=srgb", "--remote-debugging-pipe",
)  # fmt: skip
#: The longest that one answer may take, on a busy machine.
LIMIT_S = 60.0


def find_browser() -> str:
    """Return the path of Chromium, or say what to install."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise RuntimeError(
            "the tests of pages need Chromium, and none of "
            f"{', '.join(PROGRAMS)} is on the PATH: install Debian's with `apt-get install chromium`, or leave these tests "
            'out with `pytest -m "not browser"`'
        )
    return found


class Browser:
    """A Chromium process with a profile folder of its own."""

    def __init__(self, folder: Path) -> None:
        program = find_browser()
        there, self._to = os.pipe()
        self._from, back = os.pipe()
        # The browser reads its orders from 3 and answers on 4; the pipes' own numbers must not be among these.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (there, back)]
        log = (os.POSIX_SPAWN_OPEN, 2, str(folder / "chromium.log"), os.O_WRONLY | os.O_CREAT, 0o600)
        moves = [(os.POSIX_SPAWN_DUP2, end, place) for end, place in zip(ends, (3, 4), strict=True)]
        arguments = [program, *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        self._pid = os.posix_spawn(program, arguments, os.environ, file_actions=[*moves, log], setpgroup=0)
        for end in (*ends, there, back):
            os.close(end)
        self._unread, self._number, self.events = b"", 0, []
        self.order("Target.getTargets")

    def order(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send an order and wait for its answer; events that come first are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(self._to, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            found = self._read()
            if found.get("id") == self._number:
                assert "error" not in found, f"{method}: {found['error']['message']}"
                return found["result"]
            self.events.append(found)

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + LIMIT_S
        while b"\0" not in self._unread:
            assert select.select([self._from], [], [], deadline - time.monotonic())[0], (
                "Chromium does not answer"
            )
            piece = os.read(self._from, 1 << 20)
            assert piece, "Chromium has ended"
            self._unread += piece
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def wait(self, is_wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Wait for an event."""
        while not any(map(is_wanted, self.events)):
            self.events.append(self._read())

    def open(self, path: Path | str, *, width: int = 1100, height: int = 900, dark: bool = False) -> "Tab":
        """Open a file in a new tab and wait until it has loaded."""
        return Tab(self, path, width, height, dark)

    def close(self) -> None:
        """End the process and its children."""
        try:
            self.order("Browser.close")
        finally:
            os.close(self._to)
            os.close(self._from)
            os.killpg(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def _is_loaded(event: dict[str, Any], session: str, loader: str) -> bool:
    """Say whether an event tells that the document of this loader and all that belongs to it have come."""
    parameters = event.get("params", {})
    return (
        event.get("method") == "Page.lifecycleEvent"
        and event.get("sessionId") == session
        and (parameters["loaderId"], parameters["name"]) == (loader, "load")
    )


class Tab:
    """A page as a user has it before them."""

    def __init__(self, browser: Browser, path: Path | str, width: int, height: int, dark: bool) -> None:
        self._browser = browser
        target = browser.order("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.order("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.order(f"{domain}.enable")
        self.order("Page.setLifecycleEventsEnabled", enabled=True)
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.order("Emulation.setEmulatedMedia", features=[scheme])
        self.go(path)

    def order(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send an order to this tab."""
        return self._browser.order(method, self._session, **parameters)

    def go(self, path: Path | str) -> None:
        """Open a file here and wait until it has loaded."""
        self.address = Path(path).absolute().as_uri()
        loader = self.order("Page.navigate", url=self.address)["loaderId"]
        self._browser.wait(lambda event: _is_loaded(event, self._session, loader))

    def resize(self, width: int, height: int) -> None:
        """Take another size; below 600 pixels as a phone."""
        self.order(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def run(self, expression: str) -> Any:
        """Evaluate JavaScript and return its value."""
        found = self.order("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def click(self, selector: str) -> None:
        """Click on the middle of an element."""
        x, y = self.run(
            f"(() => {{ const at = document.querySelector({json.dumps(selector)}); at.scrollIntoView({{block: 'center'}});"
            "const box = at.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.order("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Press the keys of a text, one after the other."""
        for sign in text:
            self.order("Input.dispatchKeyEvent", type="keyDown", text=sign, key=sign)
            self.order("Input.dispatchKeyEvent", type="keyUp", key=sign)

    def press(self, key: str, code: int) -> None:
        """Press a key that writes nothing, by its name and number."""
        for kind in ("rawKeyDown", "keyUp"):
            self.order("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def requests(self) -> list[str]:
        """Return all addresses that the page asked for, but its own."""
        asked = self._events("Network.requestWillBeSent")
        return [event["request"]["url"] for event in asked if event["request"]["url"] != self.address]

    def complaints(self) -> list[str]:
        """Return errors and warnings of the console."""
        thrown = [event["exceptionDetails"]["text"] for event in self._events("Runtime.exceptionThrown")]
        logged = [event["entry"]["text"] for event in self._events("Log.entryAdded")]
        printed = [str(event["args"]) for event in self._events("Runtime.consoleAPICalled")]
        return thrown + logged + printed

    def _events(self, method: str) -> list[dict[str, Any]]:
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        mine = [event for event in self._browser.events if event.get("sessionId") == self._session]
        return [event["params"] for event in mine if event["method"] == method]

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write what is to be seen as a PNG file: the window, or the whole page."""
        data = self.order("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))
