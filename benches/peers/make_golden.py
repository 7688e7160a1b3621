"""Ask the real tools for their numbers and write them to `tests/drift/golden/TOOL.json`.

    make golden                          # builds .peers/TOOL from benches/peers/TOOL.txt, then asks each

Runs inside each tool's own environment, so it imports that tool and NumPy alone. Where a tool raises, the file says so.
"""

import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "drift" / "golden"
sys.path.insert(0, str(ROOT / "tests" / "drift"))

from peer_cases import CASES  # noqa: E402

EVIDENTLY_METHODS = ("ks", "wasserstein", "chisquare", "z", "psi", "jensenshannon", "kl_div", "hellinger")
EVIDENTLY_NAMES = {
    "K-S p_value": "ks",
    "Wasserstein distance (normed)": "wasserstein",
    "chi-square p_value": "chisquare",
    "Z-test p_value": "z",
    "PSI": "psi",
    "Jensen-Shannon distance": "jensenshannon",
    "Kullback-Leibler divergence": "kl_div",
    "Hellinger distance": "hellinger",
}
NANNYML_METHODS = {
    "continuous": ("jensen_shannon", "kolmogorov_smirnov", "wasserstein", "hellinger"),
    "categorical": ("jensen_shannon", "chi2", "l_infinity", "hellinger"),
}


def ask_evidently(reference: np.ndarray, current: np.ndarray) -> Iterator[tuple[str, Callable[[], Any]]]:
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    tables = pd.DataFrame({"x": reference}), pd.DataFrame({"x": current})

    def ask(method: str | None) -> dict[str, Any]:
        found = Report([DataDriftPreset(method=method)], include_tests=True).run(tables[1], tables[0]).dict()
        column = next(m for m in found["metrics"] if m["config"]["type"].endswith("ValueDrift"))
        name = column["config"]["method"]
        verdict = next(t for t in found["tests"] if t["id"] == "drift")
        return {
            "method": EVIDENTLY_NAMES.get(name, name),
            "score": column["value"],
            "threshold": column["config"]["threshold"],
            "drifted": "FAIL" in str(verdict["status"]),
        }

    yield "default", lambda: ask(None)
    for method in EVIDENTLY_METHODS:
        yield method, lambda method=method: ask(method)


def ask_nannyml(reference: np.ndarray, current: np.ndarray) -> Iterator[tuple[str, Callable[[], Any]]]:
    import nannyml
    import pandas as pd
    from nannyml.chunk import CountBasedChunker

    tables = pd.DataFrame({"x": reference}), pd.DataFrame({"x": current})

    def ask(kind: str, method: str | None) -> dict[str, Any]:
        chosen = {} if method is None else {f"{kind}_methods": [method]}
        calculator = nannyml.UnivariateDriftCalculator(column_names=["x"], **chosen).fit(tables[0])
        calculator.chunker = CountBasedChunker(chunk_number=1)  # the current table is one chunk
        table = calculator.calculate(tables[1]).filter(period="analysis").to_df()
        ((_, name),) = {column[:2] for column in table.columns if column[0] == "x"}
        row = {column[2]: table[column].iloc[0] for column in table.columns if column[0] == "x"}
        # A method that fails on the current table leaves no row: all NaN.
        drifted = None if row["alert"] is None or row["alert"] != row["alert"] else bool(row["alert"])
        return {
            "method": name,
            "score": row["value"],
            "threshold": row["upper_threshold"],
            "drifted": drifted,
        }

    is_category = reference.dtype.kind in "Ob"
    kind = "categorical" if is_category else "continuous"
    yield "default", lambda: ask(kind, None)
    for method in NANNYML_METHODS[kind]:
        yield method, lambda method=method: ask(kind, method)


def plain(value: Any) -> Any:
    """Turn NumPy's numbers into JSON's; those that are not finite by name."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if value is None or isinstance(value, str | bool):
        return value
    return float(value) if math.isfinite(value) else repr(float(value))


def answer(question: Callable[[], Any]) -> Any:
    try:
        return plain(question())
    except Exception as error:  # a tool may raise anything; what it raises is the fact
        return {"raises": type(error).__name__}


TOOLS = {"evidently": ask_evidently, "nannyml": ask_nannyml}
WITH = ("numpy", "pandas", "scipy")


def main(tool: str) -> None:
    os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
    warnings.simplefilter("ignore")
    found = {}
    for name, make in CASES.items():
        found[name] = {asked: answer(question) for asked, question in TOOLS[tool](*make())}
    made = {"tool": tool, "version": version(tool), "with": {name: version(name) for name in WITH}}
    lines = [f"{json.dumps(name)}: {json.dumps(answers)}" for name, answers in found.items()]
    head = json.dumps(made)[:-1]
    text = f'{head},\n"cases": {{\n' + ",\n".join(lines) + "\n}}\n"
    (GOLDEN / f"{tool}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
