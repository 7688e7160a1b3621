"""The file of results: parts that runs replace, each with the machine it ran on; tables of rows against rivals."""

import datetime
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("RESULTS.md")
TITLE = """# Results

Written by `make bench` and `make bench-peers`; ratios are of one run, rivals in the same run,
in turn with ours where a round is short: then a ratio is the median over rounds, and `ours` the least.
"""
#: What a row says in columns of its own; all else goes under "also".
COLUMNS = ("row", "ratio", "rival", "must", "aim", "ns_per_value", "ours", "unit", "subject")


def describe_machine() -> str:
    """Say in a paragraph on what machine, with which versions and when this runs."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = re.findall(r"model name\s*: (.*)", info.read_text(encoding="utf-8"))
        cpu = names[0] if names else cpu
    rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=False).stdout.split()[
        1:2
    ]
    versions = [
        f"Python {platform.python_version()}",
        *map(_named, ("numpy", "scipy", "polars")),
        f"Rust {''.join(rust)}",
    ]
    load = f"load {os.getloadavg()[0]:.1f}"
    today = datetime.datetime.now(datetime.UTC).date()
    return f"{today}: {cpu}, {os.cpu_count()} cores ({load} at the end), {', '.join(versions)}."


def _named(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def write_part(name: str, text: str, file: Path = FILE) -> None:
    """Put a part under its name, in place of the one that was there."""
    before = file.read_text(encoding="utf-8") if file.exists() else TITLE
    part = f"<!-- part: {name} -->\n\n{text.strip()}\n\n<!-- end -->\n"
    found = re.compile(rf"<!-- part: {re.escape(name)} -->.*?<!-- end -->\n", re.DOTALL)
    after = found.sub(lambda _: part, before) if found.search(before) else f"{before}\n{part}"
    file.write_text(after, encoding="utf-8")


def is_met(row: Mapping[str, Any], wanted: str) -> bool | None:
    """Say whether a row keeps its `must` or reaches its `aim`; None if it has none.

    A row with a `unit` is a figure in that unit that has to stay at or below; any other a ratio to reach, or one to stay
    at or below where the aim lies below the must (growth).
    """
    if row.get(wanted) is None:
        return None
    if "unit" in row:
        return bool(row["ours"] <= row[wanted])
    must, aim = row.get("must"), row.get("aim")
    if must is not None and aim is not None and aim < must:
        return bool(row["ratio"] <= row[wanted])
    return bool(row["ratio"] >= row[wanted])


def write_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows as a Markdown table: ours, the rival, the ratio, must and aim, and whether they are met."""
    lines = ["| row | ours | rival | ratio | must | aim | met | also |", "|---|---|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    return "\n".join(lines)


def _cells(row: Mapping[str, Any]) -> list[str]:
    ratio = f"{row['ratio']:.3g} x" if "ratio" in row else ""
    unit = f" {row['unit']}" if "unit" in row else " x"
    limits = [f"{row[key]:g}{unit}" if row.get(key) is not None else "" for key in ("must", "aim")]
    also = ", ".join(f"{key} {_short(value)}" for key, value in row.items() if key not in COLUMNS)
    return [str(row["row"]), _ours(row), str(row.get("rival", "")), ratio, *limits, _met(row), also]


def _ours(row: Mapping[str, Any]) -> str:
    if "unit" in row:
        return f"{row['ours']:.3g} {row['unit']}"
    return f"{row['ns_per_value']:.3g} ns a value" if "ns_per_value" in row else ""


def _met(row: Mapping[str, Any]) -> str:
    words = {None: "", True: "yes", False: "no"}
    must, aim = (words[is_met(row, wanted)] for wanted in ("must", "aim"))
    return ", ".join(f"{name} {word}" for name, word in (("must", must), ("aim", aim)) if word)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
