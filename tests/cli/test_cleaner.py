"""A real Ray head of a project with a long path, whose files in `/tmp` somebody removes: it stays in reach and goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from command_line import in_process
from small_project import PROJECT
from tidewheel.errors import ServiceError
from tidewheel.operations.runfile import Run, find_processes, reap
from tidewheel.operations.services import RAY, RayAddress, ray_address, start_ray, wait_ray

SOCKET_BYTES_MAX = 107

CLIENT = """
    import json, sys
    from pathlib import Path
    from tidewheel.operations.runfile import Run
    from tidewheel.operations.services import ray_address
    from tidewheel.serving.control_ray import connect
    address = ray_address(Run.read(Path(sys.argv[1])))
    assert address is not None, "no server is found"
    control = connect(address)
    import os, ray
    from ray import serve
    @serve.deployment(ray_actor_options={"num_cpus": 0.1}, health_check_period_s=1, health_check_timeout_s=2)
    class Teller:
        async def __call__(self, request):
            return {"pid": os.getpid()}
    if sys.argv[2] == "deploy":
        serve.run(Teller.bind(), name="teller", route_prefix="/")
    print(json.dumps(serve.status().applications["teller"].status))
    control.close()
"""


class Site:
    """A project with a server in which one replica tells its process id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder.parent / "temporary files of the user"
        (folder / "tidewheel.toml").write_text(PROJECT, encoding="utf-8")
        self.run = Run.begin(folder / "state" / "services")
        self.address: RayAddress = start_ray(self.run)
        wait_ray(self.run)
        self.log = Path(self.run.services[RAY].log)

    def client(self, deed: str) -> str:
        """Connect a new process to the head; it deploys the replica, or looks at it."""
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(CLIENT), self.run.folder, deed],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout))

    def pid(self) -> int | None:
        """Ask the replica who it is; None while nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.address.url}/status", timeout=5) as answer:
                return int(json.load(answer)["pid"])
        except (OSError, ValueError):
            return None

    def clean(self) -> None:
        """Remove what the run has in `/tmp`, as a cleaner does: a link as such, a folder with all that is in it."""
        (left,) = Path("/tmp").glob(f"tw-{self.run.run_id[:8]}")
        if left.is_symlink():
            left.unlink()
        else:
            shutil.rmtree(left)


def wait_for(condition: Callable[[], object], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("long")
    folder = folder / ("p" * (150 - len(str(folder)) - 1))
    folder.mkdir(parents=True)
    assert len(str(folder)) >= 150
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder.parent / "temporary files of the user"))
        (folder.parent / "temporary files of the user").mkdir()
        try:
            made = Site(folder)
            made.client("deploy")
            yield made
        finally:
            reap(folder / "state" / "services")


def test_only_a_link_is_outside_of_the_project(site: Site) -> None:
    inside = site.run.folder
    assert list(site.temporary.iterdir()) == []
    assert site.run.temp.is_symlink()
    assert site.run.temp.resolve().is_relative_to(inside)
    assert Path(site.address.token_file).is_relative_to(inside)
    for folder in (inside, site.run.temp.resolve()):
        assert oct(folder.stat().st_mode & 0o777) == "0o700"
    sockets = {
        Path(line.split()[-1])
        for line in Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()
        if line.split()[-1].startswith((str(site.run.temp), str(inside)))
    }
    assert {"raylet", "plasma_store"} <= {path.name.split(".")[0] for path in sockets}
    # HAProxy binds its socket under another name and renames it; the kernel keeps the first.
    assert any(path.name.startswith("admin.sock") for path in sockets), sockets
    assert all(path.is_relative_to(site.run.temp) for path in sockets)
    assert max(len(str(path)) for path in sockets) <= SOCKET_BYTES_MAX


def test_after_a_cleaner_the_server_is_found_and_a_killed_replica_comes_back(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tidewheel = in_process(monkeypatch, capsys)
    killed = site.pid()
    assert killed is not None
    site.clean()
    read = Run.read(site.run.folder)
    assert read is not None
    assert ray_address(read) == site.address
    told = tidewheel("serve", "status", "-p", site.folder)
    assert (told.code, json.loads(told.out)) == (0, {"pid": killed})
    site.clean()
    wait_for(lambda: os.path.lexists(site.run.temp))
    assert site.client("look") == "RUNNING"
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: site.pid() not in (None, killed))


def test_what_programs_of_ours_put_in_the_place_of_the_link_is_replaced(site: Site) -> None:
    site.clean()
    try:
        (site.run.temp / "r" / "logs").mkdir(parents=True)
    except FileExistsError:  # the link was there again already
        assert site.run.temp.is_symlink()
    wait_for(site.run.temp.is_symlink)
    assert site.client("look") == "RUNNING"


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can act as another user")
def test_what_another_user_put_in_the_place_of_the_link_is_named_and_not_followed(site: Site) -> None:
    aside = site.folder / "foreign"
    aside.mkdir(mode=0o700)
    os.chown(aside, 12_345, 12_345)
    other = site.run.temp.with_name("tw-test-of-a-foreign-link")
    other.symlink_to(aside)
    os.lchown(other, 12_345, 12_345)
    other.rename(site.run.temp)  # over the link, at once
    try:
        wait_for(lambda: "it belongs to user 12345" in site.log.read_text(encoding="utf-8"))
        with pytest.raises(ServiceError, match="it belongs to user 12345; `tidewheel serve down`"):
            ray_address(site.run)
        assert site.run.temp.readlink() == aside
        assert list(aside.iterdir()) == []
    finally:
        site.run.temp.unlink()
    wait_for(lambda: os.path.lexists(site.run.temp))
    assert ray_address(site.run) == site.address


def test_reaping_removes_link_and_folder(site: Site) -> None:
    assert reap(site.run.folder) != []
    assert not os.path.lexists(site.run.temp)
    assert {path.name for path in site.run.folder.iterdir()} == {"ray.log", "run.lock"}
    assert find_processes(list(site.run.services.values()), site.run.run_id) == []
