"""The wheel, made from the source distribution and installed where there is no Rust: `make check-wheel`."""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Three million bytes are promised, half of that is the aim.
MOST_BYTES = 3_000_000
#: Where several users of a machine share it, compiling takes long.
BUILD_S = 1_500

pytestmark = pytest.mark.timeout(2 * BUILD_S)


def run(*command, path, cwd=None):
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=BUILD_S,
    )
    return done.returncode, done.stdout + done.stderr


def check(*command, path, cwd=None):
    code, output = run(*command, path=path, cwd=cwd)
    assert code == 0, output
    return output


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Make the source distribution."""
    folder = tmp_path_factory.mktemp("source")
    check(sys.executable, "-m", "maturin", "sdist", "--out", folder, path=os.environ["PATH"], cwd=ROOT)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    """Make the wheel from it, with the crates that this checkout has compiled already."""
    folder = tmp_path_factory.mktemp("wheel")
    os.environ.setdefault("CARGO_TARGET_DIR", str(ROOT / "target"))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    build = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source)
    check(sys.executable, *build, path=path)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Install it into a fresh environment, with a PATH on which there is no Rust; give its `bin` and that PATH."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    kept = [part for part in os.environ["PATH"].split(os.pathsep) if not shutil.which("cargo", path=part)]
    path = os.pathsep.join([str(folder / "bin"), *kept])
    assert shutil.which("cargo", path=path) is None
    check(folder / "bin" / "python", "-m", "pip", "install", "-q", wheel, path=path)
    return folder / "bin", path


def test_one_small_wheel_for_all_pythons(wheel):
    assert wheel.name.startswith("tidewheel-")
    assert "-cp311-abi3-" in wheel.name
    assert wheel.stat().st_size < MOST_BYTES


def test_the_wheel_holds_what_it_needs_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    folder = ROOT / "python"
    kept = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in {".pyc", ".so"}]
    assert {str(path.relative_to(folder)) for path in kept} <= set(names)
    needed = (
        "drift/report/page.html",
        "report/templates/year.html.j2",
        "examples/flights/tidewheel.toml",
        "py.typed",
    )
    assert {f"tidewheel/{name}" for name in (*needed, "_native.pyi", "_native.abi3.so")} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"tidewheel"}
    assert [name for name in names if name.endswith((".rs", ".pyc")) or "test_" in name] == []


def test_the_source_distribution_holds_no_tests(source):
    with tarfile.open(source) as archive:
        names = archive.getnames()
    assert any(name.endswith("/Cargo.lock") for name in names)
    assert [name for name in names if "/tests/" in name or "/benches/" in name or name.endswith(".so")] == []


def test_it_pulls_numpy_alone(installed):
    bin_folder, path = installed
    listed = check(bin_folder / "python", "-m", "pip", "list", "--format=freeze", path=path)
    names = {line.partition("==")[0].lower() for line in listed.splitlines() if "==" in line}
    assert names - {"pip", "setuptools", "wheel"} == {"numpy", "tidewheel"}


def test_drift_works_without_rust(installed, tmp_path):
    bin_folder, path = installed
    code = """
from importlib.metadata import metadata
from tidewheel import drift
report = drift.compare({"x": [1.0, 2.0, 3.0] * 99}, {"x": [1.0, 2.0, 3.0] * 99})
report.to_html("page.html")
print(drift.ks([1.0], [2.0]).statistic, report.drifted, metadata("tidewheel")["Version"])
"""
    assert check(bin_folder / "python", "-c", code, path=path, cwd=tmp_path).strip() == "1.0 () 0.1.0"
    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_command_says_what_to_install(installed):
    bin_folder, path = installed
    code, output = run(bin_folder / "tidewheel", "drift", path=path)
    assert code == 2
    assert "install `tidewheel[cli]` for drift and doctor, or `tidewheel[lifecycle]` for everything" in output
