"""The file of bench results: what is met, what a table says, and which part a run replaces."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benches"))

from bench_results import TITLE, describe_machine, is_met, write_part, write_table

MET = {
    "ratio at its must": ({"ratio": 8.0, "must": 8.0}, "must", True),
    "ratio below its must": ({"ratio": 7.9, "must": 8.0}, "must", False),
    "no must": ({"ratio": 7.9, "must": None}, "must", None),
    "no aim": ({"ratio": 7.9}, "aim", None),
    "growth at its must": ({"ratio": 1.3, "must": 1.3, "aim": 1.1}, "must", True),
    "growth above its aim": ({"ratio": 1.3, "must": 1.3, "aim": 1.1}, "aim", False),
    "figure at its aim": ({"ours": 0.2, "unit": "s", "aim": 0.2}, "aim", True),
    "figure above its aim, whatever the ratio": (
        {"ours": 0.3, "unit": "s", "aim": 0.2, "ratio": 9.0},
        "aim",
        False,
    ),
}


@pytest.mark.parametrize(("row", "wanted", "met"), MET.values(), ids=MET.keys())
def test_what_is_met(row, wanted, met):
    assert is_met(row, wanted) is met


def test_a_table():
    rows = [
        {
            "row": "KS",
            "ratio": 149.2,
            "rival": "SciPy",
            "must": 40,
            "aim": 150,
            "ns_per_value": 6.61,
            "sorted": 0.031,
        },
        {"row": "page", "ours": 1.62, "unit": "MB", "must": 5, "aim": 2},
    ]
    assert write_table(rows).splitlines()[2:] == [
        "| KS | 6.61 ns a value | SciPy | 149 x | 40 x | 150 x | must yes, aim no | sorted 0.031 |",
        "| page | 1.62 MB |  |  | 5 MB | 2 MB | must yes, aim yes |  |",
    ]


def test_a_run_replaces_its_own_part_alone(tmp_path):
    file = tmp_path / "RESULTS.md"
    write_part("bench", "first", file)
    write_part("bench-peers", "theirs", file)
    write_part("bench", "second \\1", file)
    text = file.read_text(encoding="utf-8")
    assert text.startswith(TITLE)
    assert "first" not in text
    assert text.index("second \\1") < text.index("theirs")
    assert text.count("<!-- end -->") == 2


def test_the_machine_is_named():
    described = describe_machine()
    assert "cores (load" in described
    assert "Python 3." in described
    assert "numpy" in described


def test_benches_report_only_when_asked(small_run):
    plain, written = small_run
    assert plain is None
    assert "| kernel |  | NumPy | 9 x | 8 x |  | must yes |  |" in written
    assert "| by hand | 3 s |" in written
    assert "### A bench of nothing" in written


@pytest.fixture
def small_run(tmp_path):
    """Run a small bench twice, without and with `--results`, in copies of the harness; give the files written."""
    benches = Path(__file__).parents[1] / "benches"
    for name in ("conftest.py", "bench_results.py"):
        (tmp_path / name).write_text((benches / name).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "test_nothing.py").write_text(BENCH, encoding="utf-8")
    found = []
    for more in ([], ["--results"]):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *more, "test_nothing.py"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
        file = tmp_path / "RESULTS.md"
        found.append(file.read_text(encoding="utf-8") if file.exists() else None)
    return found


BENCH = '''"""A bench of nothing."""


def test_kernel(benchmark):
    benchmark.pedantic(int, rounds=2)
    benchmark.extra_info.update(row="kernel", ratio=9.0, rival="NumPy", must=8)


def test_other(add_row):
    add_row(row="by hand", ours=3.0, unit="s")
'''
