"""The tests of docs/pitfalls.md, each seen to fail: the code is broken on purpose, in one way at a time (`make breakages`).

`breakages.toml` has the ways. Each is tried on a copy of the checkout, built anew if it is in Rust; the tests that watch it
must fail, and by what they assert. Before, the same tests must pass. `-k NAME` tries one.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tidewheel import _native

ROOT = Path(__file__).parents[1]
#: What building and testing take.
PIECES = ("Cargo.toml", "Cargo.lock", "pyproject.toml", "rust", "python", "tests", "benches", "docs")
#: Not the place of other builds: cargo would take a broken one for that of an unbroken checkout with the same dates.
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "breakages"
LIBRARY = {"linux": "lib_native.so", "darwin": "lib_native.dylib"}
#: Compiling all from nothing on a busy machine, all tests unbroken, one test broken.
BUILD_S, ALL_S, ONE_S = 1_500, 1_500, 300
#: How a test says that it saw a wrong number.
ASSERTED = "assert|AssertionError|Failed: DID NOT RAISE"
TIERS = ("portable", "avx2", "avx512")

pytestmark = pytest.mark.timeout(BUILD_S + ALL_S)


@dataclass(frozen=True)
class Breakage:
    """One way to break the code.

    Attributes:
        name: What `-k` finds it by.
        item: The item of docs/pitfalls.md that it is an example of.
        file: Where.
        old: Text that occurs there once.
        new: What it becomes.
        tests: Each must fail.
        fails: How, where it is not by an assertion.
        tier: Vector instructions that the processor must have.
    """

    name: str
    item: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    fails: str = ASSERTED
    tier: str = "portable"


BREAKAGES = [
    Breakage(**entry | {"tests": tuple(entry["tests"])})
    for entry in tomllib.loads((ROOT / "drills" / "breakages.toml").read_text())["breakage"]
]


def is_rust(test: str) -> bool:
    return test.startswith("rust/")


class Checkout:
    """A copy of this checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Not with the dates of the files: cargo would take what it built last for a build of them.
        copy = {"copy_function": shutil.copyfile, "ignore": shutil.ignore_patterns("__pycache__", "*.so")}
        for piece in PIECES:
            if (ROOT / piece).is_dir():
                shutil.copytree(ROOT / piece, folder / piece, **copy)
            else:
                shutil.copyfile(ROOT / piece, folder / piece)

    def run(self, *command: object, timeout_s: int) -> tuple[int, str]:
        environment = os.environ | {
            "CARGO_TARGET_DIR": str(TARGET),
            "CARGO_PROFILE_DEV_DEBUG": "0",
            "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "1",
            "PYTHONPATH": os.pathsep.join(str(self.folder / name) for name in ("python", "benches")),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
        )
        return done.returncode, done.stdout

    def build(self, tests: Iterable[str]) -> None:
        """Build what the tests need; a build that fails is a fault of the breakage."""
        wanted = {is_rust(test) for test in tests}
        commands = {
            True: ("test", "-p", "tidewheel-core", "--lib", "--no-run"),
            False: ("build", "-p", "tidewheel-native"),
        }
        for is_core in wanted:
            code, told = self.run("cargo", *commands[is_core], "--quiet", timeout_s=BUILD_S)
            assert code == 0, told
        if False in wanted:
            extension = self.folder / "python" / "tidewheel" / "_native.abi3.so"
            extension.unlink(missing_ok=True)
            shutil.copy(TARGET / "debug" / LIBRARY[sys.platform], extension)

    def test(self, tests: list[str], timeout_s: int) -> dict[str, str]:
        """Run tests of one kind up to the first that fails; give what went red, and why."""
        return (self._test_rust if is_rust(tests[0]) else self._test_python)(tests, timeout_s)

    def _test_rust(self, tests: list[str], timeout_s: int) -> dict[str, str]:
        names = [re.sub(r".*/(\w+)\.rs::(\w+)", r"\1::tests::\2", test) for test in tests]
        command = ("cargo", "test", "-p", "tidewheel-core", "--lib", "--quiet", "--", "--exact", *names)
        code, told = self.run(*command, timeout_s=timeout_s)
        assert f"running {len(names)} test" in told, told
        panic = re.search(r"panicked at (.*):(\d+):\d+:\n(.*)", told)
        assert bool(code) == bool(panic), told
        if panic is None:
            return {}
        # Of an assertion with words of its own these alone are told, so where it stands says what it is.
        before, _, _ = (self.folder / panic[1]).read_text().partition("mod tests {")
        kind = "assertion" if int(panic[2]) > before.count("\n") else "panic"
        return {f"{panic[1]}:{panic[2]}": f"{kind}: {panic[3]}"}

    def _test_python(self, tests: list[str], timeout_s: int) -> dict[str, str]:
        report = self.folder / "report.xml"
        command = (sys.executable, "-m", "pytest", "-q", "-x", f"--junitxml={report}", *tests)
        code, told = self.run(*command, timeout_s=timeout_s)
        assert code in (0, 1), told
        cases = ElementTree.parse(report).iter("testcase")
        found = [(case.get("name", ""), case.find("failure")) for case in cases]
        red = {name: failure.get("message", "") for name, failure in found if failure is not None}
        # Red without a failure: an error before the test, or after.
        assert bool(code) == bool(red), told
        return red

    @contextmanager
    def broken(self, breakage: Breakage) -> Iterator[None]:
        path = self.folder / breakage.file
        whole = path.read_text()
        assert whole.count(breakage.old) == 1, f"{breakage.file} must hold {breakage.old!r} once"
        path.write_text(whole.replace(breakage.old, breakage.new))
        try:
            yield
        finally:
            path.write_text(whole)


@pytest.fixture(scope="module")
def checkout(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Copy the checkout, build it, and see those tests pass that breakages chosen here must turn red."""
    copy = Checkout(tmp_path_factory.mktemp("checkout"))
    chosen = [item.callspec.params["breakage"] for item in request.session.items if hasattr(item, "callspec")]
    tests = sorted({test for breakage in chosen for test in breakage.tests})
    copy.build(tests)
    for kind in (True, False):
        if some := [test for test in tests if is_rust(test) is kind]:
            assert copy.test(some, ALL_S) == {}
    return copy


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.name)
def test_a_breakage_is_seen(breakage: Breakage, checkout: Checkout) -> None:
    if TIERS.index(_native.simd_tier()) < TIERS.index(breakage.tier):
        pytest.skip(f"this processor has no {breakage.tier}")
    with checkout.broken(breakage):
        checkout.build(breakage.tests)
        for test in breakage.tests:
            red = checkout.test([test], ONE_S)
            assert red, f"{test} does not see {breakage.name}"
            for name, why in red.items():
                assert re.match(breakage.fails, why), f"{test} must fail by {breakage.fails!r}; got {why}"
                print(f"\n{breakage.name}: {name}: {why.splitlines()[0][:150]}", end="")
