"""Who a model is: the canonical identity that evidence binds to, whatever its files look like on disk.

What belongs here: `model_id`, and the digests of code and files that go into it or beside it. Pure but for reading this
package's own source.
"""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

from tidewheel.model.trained import TrainedModel

IDENTITY_VERSION = 1
"""Raised when the construction of `model_id` changes, so that old and new ones cannot be taken for each other."""

CODE_FILES = ("features.py", "scoring.py", "training.py")
"""The modules of this package that decide what a fitted model is."""

ENVIRONMENT = {
    "logistic": ("numpy", "polars", "scikit-learn", "scipy", "tidewheel"),
    "xgboost": ("numpy", "polars", "tidewheel", "xgboost"),
}
"""The distributions whose versions are recorded for each family."""


def model_id(model: TrainedModel, *, data_sha256: str, settings_sha256: str, code: str) -> str:
    """Give the canonical identity of a model: training again from the same data, code, settings and seed gives it again.

    It is the SHA-256 of canonical JSON of encoder, model file, complete parameters, label, seed and the three digests. The
    name is not in it, nor what the machine looked like (`environment`), nor when it was.
    """
    identity = {
        "identity_version": IDENTITY_VERSION,
        "family": model.family,
        "encoder": model.predictor.encoder.to_dict(),
        "model_sha256": hashlib.sha256(model.predictor.scorer.to_bytes()).hexdigest(),
        "parameters": model.parameters,
        "label": model.label,
        "seed": model.seed,
        "code_sha256": code,
        "data_sha256": data_sha256,
        "settings_sha256": settings_sha256,
    }
    return hashlib.sha256(canonical_json(identity)).hexdigest()


def code_sha256(folder: Path = Path(__file__).parent) -> str:
    """Give the digest of the modules that decide what a fitted model is."""
    return digest_of({name: (folder / name).read_bytes() for name in CODE_FILES})


def environment(family: str) -> dict[str, str]:
    """Give the versions of Python and of the distributions that a family is fitted with."""
    found = {"python": python_version()}
    for name in ENVIRONMENT[family]:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            # A source tree on PYTHONPATH has no recorded version; that is worth knowing, not worth failing.
            found[name] = "not installed"
    return found


def digest_of(contents: Mapping[str, bytes]) -> str:
    """Give the SHA-256 of canonical JSON of the SHA-256 of each content by its name."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return hashlib.sha256(canonical_json(digests)).hexdigest()


def canonical_json(value: Any) -> bytes:
    """Give canonical JSON: sorted keys, no spaces, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    ).encode()
