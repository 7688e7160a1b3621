"""Time Evidently, NannyML, scouter-ml and Tidewheel on the same tables and write them to `benches/RESULTS.md`.

    make bench-peers                     # builds .peers/TOOL first
    make bench-peers ROWS=100000         # smaller tables; the results say so
    make bench-peers CASES="wide import" # these alone, of report, floats, wide, memory, import

Every measurement is a process of its own. Where tools compute one thing, their numbers are compared before the times are.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "benches"), str(ROOT / "benches" / "peers")]

from bench_results import describe_machine, write_part  # noqa: E402

from time_tool import make_columns  # noqa: E402

LIMIT_S = 1_800
WIDE_ROWS, MEMORY_ROWS = 2_000, 10_000_000
MODULES = {
    "tidewheel": "tidewheel.drift",
    "evidently": "evidently.presets",
    "nannyml": "nannyml",
    "scouter": "scouter.drift",
}
#: Fresh interpreters started per import time; the least counts.
STARTS = 5
CASES = {
    "report": ("Whole report: {rows:,} rows a side, 20 float and 5 string columns", ("evidently", "nannyml")),
    "floats": ("PSI and the rest of a report: {rows:,} rows a side, 20 float columns", ("scouter",)),
    "wide": ("Wide report: {rows:,} rows a side, 1,000 float columns, with the page where there is one",
             ("evidently", "nannyml", "scouter")),
    "memory": ("Memory: {rows:,} rows a side, 4 float columns", ("evidently", "nannyml", "scouter")),
}  # fmt: skip


def python_of(tool: str) -> str:
    return sys.executable if tool == "tidewheel" else str(ROOT / ".peers" / tool / "bin" / "python")


def measure(tool: str, case: str, rows: int) -> dict[str, Any]:
    """Run a tool on a case; what went wrong comes back under `failed`."""
    command = [python_of(tool), str(ROOT / "benches" / "peers" / "time_tool.py"), tool, case, str(rows)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {LIMIT_S} s"}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return {"failed": "killed: out of memory" if done.returncode == -9 else last[0]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def check_numbers(found: dict[str, dict[str, Any]], rows: int) -> str:
    """Compute the tools' numbers of the first column by our rules; raise if they are not theirs."""

    reference, current = (columns["f000"] for columns in make_columns("floats", rows))
    ours = {
        "evidently": lambda: _peer(reference, current, "evidently"),
        "scouter": lambda: _psi_between_quantiles(reference, current),
    }
    checked = []
    for tool, compute in ours.items():
        if "number" in found.get(tool, {}):
            assert np.isclose(found[tool]["number"], compute(), rtol=1e-6), (tool, found[tool], compute())
            checked.append(tool)
    return (
        f"First column's number computed by our rules for {' and '.join(checked)}: equal." if checked else ""
    )


def _psi_between_quantiles(reference: Any, current: Any) -> float:
    """PSI on bins whose edges lie between the reference's values, as scouter-ml has them (ours are values)."""
    from tidewheel import drift

    edges = np.concatenate([[-np.inf], np.quantile(reference, np.arange(1, 10) / 10), [np.inf]])
    p, q = (drift.histogram(side, np.nan_to_num(edges))[0] / len(side) for side in (reference, current))
    return float(((p - q) * np.log(p / q)).sum())


def _peer(reference: Any, current: Any, tool: str) -> float | None:
    from tidewheel import drift

    report = drift.compare({"x": reference}, {"x": current}, compat=tool)
    return report["x"].peer.score if report["x"].peer else None


def table_of(found: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| tool | seconds | times ours | CPU seconds | times ours | memory beyond the tables |",
        "|---|---|---|---|---|---|",
    ]
    ours = found["tidewheel"]
    for tool, one in found.items():
        if "failed" in one:
            lines.append(f"| {tool} | {one['failed']} | | | | |")
            continue
        beyond = one["peak_bytes"] - one["held_bytes"]
        memory = f"{beyond / 2**20:,.0f} MiB ({beyond / one['held_bytes']:.0%} of what the process held)"
        times = " | ".join(f"{one[key]:.3g} | {one[key] / ours[key]:.3g}" for key in ("seconds", "cpu_s"))
        lines.append(f"| {tool} | {times} | {memory} |")
    return "\n".join(lines)


def import_s(tool: str, module: str) -> float:
    """Return the least processor time that a fresh interpreter takes for an import."""
    code = f"import time; start = time.process_time(); import {module}; print(time.process_time() - start)"
    runs = [
        subprocess.run(
            [python_of(tool), "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
        )
        for _ in range(STARTS)
    ]
    return min(float(run.stdout.split()[-1]) for run in runs)


def table_of_imports() -> str:
    lines = ["| tool | CPU seconds | `import numpy` there |", "|---|---|---|"]
    for tool, module in MODULES.items():
        whole, numpy = import_s(tool, module), import_s(tool, "numpy")
        lines.append(f"| {tool} | {whole:.3f} | {numpy:.3f} |")
    return "\n".join(lines)


def write_case(case: str, rows: int) -> None:
    """Measure a case for every tool and write it as a part of its own."""
    title, tools = CASES[case]
    found = {tool: measure(tool, case, rows) for tool in ("tidewheel", *tools)}
    print(case, json.dumps(found), flush=True)
    told = [check_numbers(found, rows)] if case in ("report", "floats") else []
    heading = f"## Beside other tools. {title.format(rows=rows)}"
    write_part(f"bench-peers {case}", "\n\n".join([heading, describe_machine(), table_of(found), *told]))


def main(rows: int, cases: list[str]) -> None:
    sizes = {"report": rows, "floats": rows, "wide": WIDE_ROWS, "memory": min(MEMORY_ROWS, 10 * rows)}
    for case in cases or [*CASES, "import"]:
        if case == "import":
            heading = "## Beside other tools. Import in a fresh interpreter"
            write_part("bench-peers import", "\n\n".join([heading, describe_machine(), table_of_imports()]))
        else:
            write_case(case, sizes[case])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, sys.argv[2:])
