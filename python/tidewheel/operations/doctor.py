"""Look at the machine and the environment, and say what is missing or in the way before anything is started.

What belongs here: cheap checks that change nothing. What does not: mending (each check names its remedy), and the
project file (`project.files` checks it).
"""

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import psutil

from tidewheel.errors import InputError, MissingExtraError, TidewheelError
from tidewheel.operations.haproxy import find_haproxy
from tidewheel.operations.ports import LOOPBACK, find_listeners, free_ports, is_loopback
from tidewheel.operations.runfile import RUN_FILE, Run, find_processes
from tidewheel.project.files import PROJECT_FILE, read_settings

State = Literal["ok", "warn", "fail"]

GB = 1e9
DISK_GB, MEMORY_GB, SHARED_GB = 3.0, 4.0, 0.3
"""A demo writes under 1 GB beside 2.1 GB of installed packages; Ray, Serve and Prefect hold 2 GB of memory, of
which 200 MB are Ray's object store in shared memory."""

PYTHON_LOWEST, PYTHON_BELOW = (3, 11), (3, 14)

TESTED = {
    "prefect": ("3.8.8", "3.9", "flows"),
    "ray": ("2.60", "2.61", "serve"),
    "fastapi": ("0.139", "0.151", "serve"),
    "mlflow": ("3.17", "3.18", "track"),
    "polars": ("2.1", "3", "data"),
    "deltalake": ("1.6", "2", "data"),
    "pandera": ("0.35", "0.36", "data"),
    "xgboost": ("3.0", "4", "train"),
    "scikit-learn": ("1.7", "2", "train"),
    "numpy": ("2.0", "3", "base"),
}
"""The range of each package that Tidewheel was tested with ([from, below)), and the extra that brings it."""


@dataclass(frozen=True, slots=True)
class Check:
    """Hold what was looked at, how it stands, what was found, and what to do about it."""

    name: str
    state: State
    detail: str
    remedy: str = ""


def examine(folder: Path) -> tuple[Check, ...]:
    """Look at everything that a run in `folder` needs.

    Example:
        >>> {check.state for check in examine(Path("."))} <= {"ok", "warn", "fail"}
        True
    """
    return (
        _python(),
        _extension(),
        *_packages(),
        _haproxy(),
        _cores(),
        _memory(),
        _shared_memory(),
        _project(folder),
        _disk(folder),
        _writable(folder),
        _ports(),
        *_leftovers(folder),
    )


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if PYTHON_LOWEST <= sys.version_info < PYTHON_BELOW:
        return Check("Python", "ok", found)
    return Check("Python", "warn", found, "tested with Python 3.11 to 3.13")


def _extension() -> Check:
    if importlib.util.find_spec("tidewheel._native") is not None:
        return Check("Rust extension", "ok", "tidewheel._native")
    return Check("Rust extension", "fail", "tidewheel._native is not there", "build it: `make setup`")


def _packages() -> Iterator[Check]:
    for name, (lowest, below, extra) in TESTED.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Check(name, "warn", "not installed", f"`pip install tidewheel[{extra}]` brings it")
            continue
        if _numbers(lowest) <= _numbers(found) < _numbers(below):
            yield Check(name, "ok", found)
        else:
            yield Check(name, "fail", found, f"tested from {lowest} to below {below}: install one of these")


def _numbers(text: str) -> tuple[int, ...]:
    """Give the leading numbers of a version: (3, 8, 8) of "3.8.8", (2, 0) of "2.0rc1"."""
    numbers = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)


def _haproxy() -> Check:
    try:
        return Check("HAProxy", "ok", find_haproxy())
    except MissingExtraError as error:
        return Check("HAProxy", "warn", "not found", str(error))


def _cores() -> Check:
    cores = len(os.sched_getaffinity(0))
    if cores >= 2:
        return Check("cores", "ok", str(cores))
    return Check("cores", "warn", str(cores), "everything works on one core, at half the speed")


def _memory() -> Check:
    free = psutil.virtual_memory().available / GB
    if free >= MEMORY_GB:
        return Check("memory", "ok", f"{free:.1f} GB free")
    return Check(
        "memory", "warn", f"{free:.1f} GB free", f"Ray and Prefect want {MEMORY_GB:g} GB: close something"
    )


def _shared_memory() -> Check:
    shared = Path("/dev/shm")
    if not shared.is_dir():
        return Check(
            "shared memory", "warn", "no /dev/shm", "Ray keeps its objects on disk then, which is slower"
        )
    free = shutil.disk_usage(shared).free / GB
    if free >= SHARED_GB:
        return Check("shared memory", "ok", f"{free:.1f} GB free")
    return Check(
        "shared memory", "warn", f"{free:.2f} GB free", "in a container, start it with --shm-size=1g"
    )


def _nearest(folder: Path) -> Path:
    """Give the folder itself, or the nearest one above it that is there and may be entered."""
    place = folder.resolve()
    while not os.path.exists(place):
        place = place.parent
    return place


def _disk(folder: Path) -> Check:
    place = _nearest(folder)
    free = shutil.disk_usage(place).free / GB
    if free >= DISK_GB:
        return Check("disk", "ok", f"{free:.0f} GB free")
    return Check(
        "disk",
        "fail",
        f"{free:.1f} GB free in {place}",
        f"make room for {DISK_GB:g} GB, or take another folder",
    )


def _writable(folder: Path) -> Check:
    place = _nearest(folder)
    try:
        # A trial is the only honest answer: permissions say nothing of read-only disks, or to the superuser.
        with tempfile.NamedTemporaryFile(dir=place):
            return Check("folder", "ok", f"{place} can be written")
    except OSError as error:
        return Check("folder", "fail", f"{place}: {error.strerror}", "take another folder")


def _ports() -> Check:
    try:
        free_ports(20)
    except OSError as error:
        return Check(
            "ports", "fail", f"no free ports on {LOOPBACK}: {error.strerror}", "close servers you do not need"
        )
    return Check("ports", "ok", f"free ones on {LOOPBACK}")


def _project(folder: Path) -> Check:
    """Read the project file, if there is one."""
    file = folder / PROJECT_FILE
    if not file.exists():
        return Check(
            "project",
            "warn",
            f"{folder.resolve()} has no {PROJECT_FILE}",
            "run it in a project's folder, or name that",
        )
    try:
        settings = read_settings(file)
    except InputError as error:
        return Check("project", "fail", str(error), f"mend {PROJECT_FILE}")
    return Check("project", "ok", f"{settings.scope.name}, {len(settings.model.candidates)} candidates")


def _leftovers(folder: Path) -> Iterator[Check]:
    """Look for run files in and below `folder`, as the demo and projects place them."""
    files = [
        path
        for depth in (
            "",
            *(f"{above}state/{run}/" for above in ("", "*/") for run in ("services", "prefect")),
        )
        for path in folder.glob(depth + RUN_FILE)
    ]
    for file in files:
        try:
            run = Run.read(file.parent)
        except (InputError, TidewheelError) as error:
            yield Check("run", "warn", str(error), f"remove {file} if nothing of it is running")
            continue
        found = find_processes(list(run.services.values()), run.run_id) if run else []
        if found:
            remedy = "`tidewheel serve down` ends it; so does the next start in that folder"
            yield Check(
                "run", "warn", f"{len(found)} processes of the run in {file.parent} are running", remedy
            )
            yield _listening(found)
    if not files:
        yield Check("run", "ok", "nothing left of earlier runs")


def _listening(processes: Sequence[psutil.Process]) -> Check:
    """Look at every open port of a run: Ray's ask for a token, the front asks for nothing."""
    found = find_listeners(processes)
    outside = [
        f"{address}:{port} ({command[:40]})"
        for (address, port), command in found.items()
        if not is_loopback(address)
    ]
    if not outside:
        return Check("open ports", "ok", f"{len(found)} of the run, all on loopback")
    return Check(
        "open ports", "fail", ", ".join(outside), "stop the server; let a firewall close these ports"
    )
