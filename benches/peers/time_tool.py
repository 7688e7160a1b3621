"""Time one tool on one case, in a process of its own: prints a line of JSON.

    .peers/evidently/bin/python benches/peers/time_tool.py evidently report 1000000

Runs inside the tool's own environment, on tables of the form that the tool takes; making them is not timed. `number` is one
statistic of the first column, so that the tools can be held against each other before their times are.
"""

import gc
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

FLOATS, STRINGS, NAMES = 20, 5, 50
WIDE = 1_000
#: Columns of the case `memory`.
FEW = 4

Columns = dict[str, np.ndarray]


def make_columns(case: str, rows: int) -> Iterator[Columns]:
    """Make the reference's columns, then the current's, with a small shift in every seventh."""
    floats = {"report": FLOATS, "floats": FLOATS, "wide": WIDE, "memory": FEW}[case]
    for seed in (1, 2):
        rng = np.random.RandomState(seed)
        made: Columns = {
            f"f{i:03}": rng.standard_normal(rows) + 0.1 * (seed == 2 and i % 7 == 0) for i in range(floats)
        }
        if case == "report":
            names = np.array([f"name {i}" for i in range(NAMES)], dtype=object)
            made |= {f"s{i}": names[rng.randint(0, NAMES, rows)] for i in range(STRINGS)}
        yield made


def time_tidewheel(case: str, tables: list[Any]) -> Any:
    from tidewheel import drift

    report = drift.compare(*tables)
    if case == "wide":
        report.to_html(Path(tempfile.gettempdir()) / "tidewheel.html")
    return report["f000"].statistics["ks"]


def time_evidently(case: str, tables: list[Any]) -> Any:
    from evidently import Report
    from evidently.presets import DataDriftPreset

    found = Report([DataDriftPreset()]).run(tables[1], tables[0])
    if case == "wide":
        found.save_html(str(Path(tempfile.gettempdir()) / "evidently.html"))
    first = next(m for m in found.dict()["metrics"] if m["config"].get("column") == "f000")
    return first["value"]


def time_nannyml(case: str, tables: list[Any]) -> Any:
    import nannyml

    calculator = nannyml.UnivariateDriftCalculator(column_names=[*tables[0].columns]).fit(tables[0])
    table = calculator.calculate(tables[1]).filter(period="analysis").to_df()
    return float(table["f000", "jensen_shannon", "value"].mean())


def time_scouter(case: str, tables: list[Any]) -> Any:
    from scouter.drift import Drifter, PsiDriftConfig

    drifter = Drifter()
    profile = drifter.create_drift_profile(tables[0], PsiDriftConfig())
    return drifter.compute_drift(tables[1], profile).features["f000"]


TOOLS: dict[str, tuple[str, Callable[[str, list[Any]], Any]]] = {
    "tidewheel": ("polars", time_tidewheel),
    "evidently": ("pandas", time_evidently),
    "nannyml": ("pandas", time_nannyml),
    "scouter": ("polars", time_scouter),
}


def frame(library: str, columns: Columns) -> Any:
    if library == "polars":
        import polars as pl

        return pl.DataFrame(columns)
    import pandas as pd

    return pd.DataFrame(columns)


def memory_bytes(field: str) -> int:
    """Read `VmRSS`, what the process holds now, or `VmHWM`, the most it held since `forget_peak` (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def main(tool: str, case: str, rows: int) -> None:
    os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
    warnings.simplefilter("ignore")
    library, call = TOOLS[tool]
    # Imports, and what a library sets up on first use, are paid on a small table; small tables stay small.
    small = [
        frame(library, columns) for columns in make_columns("report" if case == "report" else "memory", 200)
    ]
    call(case, small)
    tables = [frame(library, columns) for columns in make_columns(case, rows)]
    gc.collect()
    forget_peak()
    before, start, start_cpu = memory_bytes("VmRSS"), time.perf_counter(), time.process_time()
    number = call(case, tables)
    found = {
        "seconds": time.perf_counter() - start,
        "cpu_s": time.process_time() - start_cpu,
        "held_bytes": before,
        "peak_bytes": memory_bytes("VmHWM"),
        "number": number,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
