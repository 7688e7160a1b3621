"""The scripts that no other test runs still fit the code: each starts, and says what it does."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHES = Path(__file__).parents[1] / "benches"
SCRIPTS = {
    "agreement.py": "SciPy",
    "calibration.py": "--replications",
    "over_time.py": "--quick",
    "serving/front_cpu.py": "BASE_CHECKOUT",
    "verdicts.py": "--names",
}


@pytest.mark.parametrize(("script", "words"), SCRIPTS.items(), ids=SCRIPTS)
def test_a_script_starts(script: str, words: str) -> None:
    done = subprocess.run(
        [sys.executable, BENCHES / script, "--help"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert words in done.stdout


def test_years_of_looks_are_simulated_quickly() -> None:
    """The quick run goes through the same lines as the one that writes docs/over-time.md."""
    done = subprocess.run(
        [sys.executable, BENCHES / "over_time.py", "--quick"], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert "ever" in done.stdout
