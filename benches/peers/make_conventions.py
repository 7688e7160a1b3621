"""Ask frouros, popmon, scouter-ml and whylogs for single numbers that show their conventions.

    .peers/frouros/bin/python benches/peers/make_conventions.py frouros

Each writes its part of `tests/drift/golden/conventions.json`. Runs inside the tool's own environment.
"""

import json
import math
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
FILE = ROOT / "tests" / "drift" / "golden" / "conventions.json"
sys.path.insert(0, str(ROOT / "tests" / "drift"))

from peer_cases import EMPTY_BIN, SAME_SHARES, bell, undrifted  # noqa: E402

#: Undrifted pairs of samples of this size, each judged at the nominal level of 5 %.
PAIRS, ROWS = 400, 2_000
#: The 95 % point of chi-square with 9 degrees of freedom (any table).
CHI2_95_OF_9 = 16.918977604620448


def ask_frouros():
    from frouros.detectors.data_drift import PSI

    detector = PSI(num_bins=10)
    detector.fit(X=EMPTY_BIN[0])
    found, _ = detector.compare(X=EMPTY_BIN[1])
    return {"PSI with one empty bin of ten": float(found.distance)}


def ask_popmon():
    import histogrammar as hg
    import pandas as pd
    from popmon.analysis.comparison.hist_comparer import hist_compare

    sides = [hg.SparselyBin(binWidth=1.0, quantity=lambda row: row["x"]) for _ in SAME_SHARES]
    for side, values in zip(sides, SAME_SHARES, strict=True):
        side.fill.numpy({"x": values})
    found = hist_compare(pd.Series({"reference": sides[0], "current": sides[1]}), "reference", "current")
    return {"PSI of equal shares, 1,000 rows against 2,000": float(found["psi"])}


def ask_scouter():
    import polars as pl
    from scouter.drift import Drifter, PsiDriftConfig

    def psi(reference, current, **more):
        drifter = Drifter()
        profile = drifter.create_drift_profile(
            pl.DataFrame({"x": reference, "y": reference}), PsiDriftConfig(**more)
        )
        return drifter.compute_drift(pl.DataFrame({"x": current, "y": current}), profile).features["x"]

    beyond = sum(psi(*undrifted(i, ROWS)) > CHI2_95_OF_9 / ROWS for i in range(PAIRS))
    known, half_new = ["a", "b"] * 500, ["a", "new", "b", "newer"] * 250
    names = {"categorical_features": ["x", "y"]}
    return {
        "PSI with one empty bin of ten": psi(*EMPTY_BIN),
        "PSI of half unseen categories": psi(known, half_new, **names),
        "share of undrifted pairs beyond chi2(9) / n at 5 %": beyond / PAIRS,
    }


def ask_whylogs():
    import pandas as pd
    import whylogs
    from whylogs.viz.drift.column_drift_algorithms import KS

    pvalues = []
    for _ in range(10):
        views = [
            whylogs.log(pd.DataFrame({"x": values})).view().get_column("x")
            for values in (bell(1, 300_000), bell(2, 300_000, 1 / 208))
        ]
        pvalues.append(KS().calculate(views[1], views[0]).pvalue)
    return {"least p of the same two samples in ten runs": min(pvalues), "greatest": max(pvalues)}


ASK = {"frouros": ask_frouros, "popmon": ask_popmon, "scouter-ml": ask_scouter, "whylogs": ask_whylogs}


def main(tool):
    warnings.simplefilter("ignore")
    facts = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    found = {name: value if math.isfinite(value) else repr(value) for name, value in ASK[tool]().items()}
    facts[tool] = {"version": version(tool), "numpy": np.__version__, **found}
    FILE.write_text(json.dumps(dict(sorted(facts.items())), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
