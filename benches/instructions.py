"""Print the instructions that each kernel needs for a value, counted by valgrind's callgrind.

Counts do not depend on how busy the machine is. Each kernel runs at two sizes; the further instructions of the larger one
over its further rows are what a value costs, without what is made once. Valgrind knows no AVX-512: the widest tier is AVX2.
Run as `make bench-instructions`; valgrind comes from the system's packages.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

KERNELS = (
    "histogram-10", "histogram-100", "psi-10", "blocks-4000", "ks", "ks-rounded", "ks-fitted", "wasserstein",
    "wasserstein-rounded", "report", "strings-50",
)  # fmt: skip
TIERS = ("portable", "avx2")
FEW, MANY = 100_000, 300_000


def instructions(program: Path, kernel: str, rows: int, tier: str) -> int:
    """Count the instructions of one run of a kernel."""
    command = [
        "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*run_kernel*",
        str(program), kernel, str(rows),
    ]  # fmt: skip
    environment = {**os.environ, "TIDEWHEEL_SIMD": tier}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if collected is None:
        raise RuntimeError(f"callgrind reports no count:\n{done.stderr}")
    return int(collected[1])


def main(program: Path) -> None:
    """Print a table of all kernels."""
    print(f"{'instructions a value':<22}" + "".join(f"{tier:>12}" for tier in TIERS))
    for kernel in KERNELS:
        few, many = (
            {tier: instructions(program, kernel, rows, tier) for tier in TIERS} for rows in (FEW, MANY)
        )
        per_value = ((many[tier] - few[tier]) / (MANY - FEW) for tier in TIERS)
        print(f"{kernel:<22}" + "".join(f"{count:>12.2f}" for count in per_value))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
