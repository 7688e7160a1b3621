"""Compare what a request costs the front in two checkouts: run as `python benches/serving/front_cpu.py BASE_CHECKOUT`.

Both answer side by side, everything on but no rollout, one row a request, 100 trees; the rounds alternate. What counts is
the processor time of the front's process, and of its HAProxy: unlike answers a second it hardly depends on what else the
machine does. BASE_CHECKOUT needs an extension of its own, built from its sources. Prints medians, and the ratio of each
round. What the server does must be callable in both checkouts: see `serve`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

CHECKOUT = Path(__file__).parents[2]
CONNECTIONS = 16


@dataclass(frozen=True)
class Cost:
    """Hold what one request cost, in microseconds of processor time."""

    front_us: float
    haproxy_us: float


def serve(checkout: Path, folder: Path) -> None:
    """Serve the small project of the tests with the checkout's own code, print port and process, until input ends."""
    from served_models import IMPORT_FOLDERS, make_packages, plan_of, served_settings
    from small_project import PROJECT, read_rows
    from tidewheel import errors
    from tidewheel.operations.runfile import Run, reap
    from tidewheel.operations.services import start_ray, wait_ray
    from tidewheel.serving.control_ray import connect

    try:
        from tidewheel.evidence.store import Ledger
    except ModuleNotFoundError:
        # A former checkout.
        from tidewheel.ledger.store import Ledger

    assert Path(errors.__file__).is_relative_to(checkout), f"{errors.__file__} is not of {checkout}"
    project = PROJECT.replace("n_estimators = 30, max_depth = 2", "n_estimators = 100, max_depth = 4")
    (folder / "tidewheel.toml").write_text(project, encoding="utf-8")
    run = Run.begin(folder / "services")
    try:
        head = start_ray(run)
        settings = served_settings(folder / "tidewheel.toml")
        champion = make_packages(settings, read_rows(), folder / "packages")["trees"]
        with Ledger.open(folder / "ledger.sqlite") as ledger:
            ledger.swap_plan(plan_of(champion), expected_generation=0)
        wait_ray(run)
        control = connect(head)
        url = f"sqlite:///{folder}/ledger.sqlite"
        control.deploy_front(settings, url, str(folder / "log"), import_folders=IMPORT_FOLDERS)
        print(json.dumps({"port": head.http_port, "pid": control.status()[0]["pid"]}), flush=True)
        sys.stdin.read()
        control.shut_down()
    finally:
        reap(folder / "services")


class Server:
    """One front that answers, and its processes."""

    def __init__(self, port: int, pid: int, bodies: Path) -> None:
        self._port, self._bodies = port, bodies
        self._front = psutil.Process(pid)

    def ask(self, seconds: float) -> Cost:
        """Have the client ask for so long."""
        client = Path(__file__).with_name("load_client.py")
        arguments = [str(self._port), "/predict", str(CONNECTIONS), str(seconds), str(self._bodies)]
        # Looked up anew: Serve replaces its HAProxy when a deployment changes.
        haproxies = [one for one in psutil.process_iter() if _is_haproxy(one, self._port)]
        front_s, haproxy_s = _used_s([self._front]), _used_s(haproxies)
        done = subprocess.run([sys.executable, client, *arguments], capture_output=True, check=True)
        found = json.loads(done.stdout)
        assert found["others"] == 0, found["example"]
        each = 1e6 / found["ok"]
        return Cost((_used_s([self._front]) - front_s) * each, (_used_s(haproxies) - haproxy_s) * each)


def _is_haproxy(process: psutil.Process, port: int) -> bool:
    try:
        return process.name() == "haproxy" and any(
            one.status == psutil.CONN_LISTEN and one.laddr.port == port
            for one in process.net_connections("tcp")
        )
    except psutil.Error:  # it has just ended, or is not ours to look at
        return False


def _used_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


@contextmanager
def started(checkout: Path, folder: Path, bodies: Path) -> Iterator[Server]:
    """Run `serve` in a process of its own that imports from `checkout`."""
    folder.mkdir()
    paths = [checkout / "python", checkout / "tests" / "serving", checkout / "tests" / "projects"]
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", folder, checkout],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, f"the server of {checkout} did not start"
        yield Server(**json.loads(line), bodies=bodies)
    finally:
        process.stdin.close()
        process.wait(120)


def compare(base: Path, rounds: int, seconds: float) -> None:
    """Ask both by turns and print what came of it."""
    sys.path.append(str(CHECKOUT / "tests" / "projects"))
    from small_project import read_rows

    with tempfile.TemporaryDirectory() as made, ExitStack() as running:
        bodies = Path(made) / "bodies"
        rows = read_rows().head(4000).select("load", "size", "shop")
        bodies.write_text("\n".join(json.dumps({"inputs": [row]}) for row in rows.iter_rows(named=True)))
        old, new = (
            running.enter_context(started(checkout, Path(made) / name, bodies))
            for name, checkout in (("base", base), ("this", CHECKOUT))
        )
        costs: dict[Server, list[Cost]] = {old: [], new: []}
        for server in costs:
            server.ask(seconds)  # warm up
        for turn in range(rounds):
            for server in (old, new) if turn % 2 else (new, old):
                costs[server].append(server.ask(seconds))
    for name in ("front_us", "haproxy_us"):
        before, after = ([getattr(cost, name) for cost in costs[server]] for server in (old, new))
        ratios = [late / early for early, late in zip(before, after, strict=True)]
        print(
            f"{name}: {median(before):.0f} -> {median(after):.0f}, median ratio {median(ratios):.3f} "
            f"(rounds {', '.join(f'{ratio:.3f}' for ratio in ratios)})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", type=Path, help="the checkout to compare with")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round and checkout")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.base.resolve(), given.serve)
    else:
        compare(given.base.resolve(), given.rounds, given.seconds)


if __name__ == "__main__":
    main()
