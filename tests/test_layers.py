"""The layers of the house: upper packages import lower ones, never the reverse, never in a circle."""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "python" / "tidewheel"

LAYERS = {
    "errors": 0,
    "_native": 0,
    "measures": 1,
    "project": 1,
    "drift": 2,
    "evidence": 3,
    "data": 4,
    "predictions": 4,
    "model": 4,
    "operations": 4,
    "rollout": 5,
    "serving": 6,
    "monitoring": 6,
    "retraining": 6,
    "lifecycle": 7,
    "report": 8,
    "examples": 8,
    "flows": 9,
    "cli": 10,
}
"""`cli` starts the flows and `examples` is what a user would write: it may use what a user may use."""

FLOORS_OF_DRIFT = {
    "reading": 0,
    "arguments": 1,
    "statistics": 2,
    "report": 3,
    "peers": 4,
    "table": 5,
    "profile": 6,
    "over_time": 7,
}
"""`drift` is a house of its own."""

ONLY_IN = {
    "prefect": {"flows"},
    "typer": {"cli"},
    "rich": {"cli", "report"},
    "pydantic": {"project"},
    "sqlalchemy": {"evidence"},
    "pandera": {"data"},
    "deltalake": {"data", "predictions"},
    "sklearn": {"model"},
    "xgboost": {"model"},
    "mlflow": {"model"},
    "ray": {"serving", "monitoring", "lifecycle"},
    "jinja2": {"report"},
    "plotly": {"report"},
}

STANDARD_LIBRARY_ALONE = {"errors", "_native"}
NUMPY_ALONE = {"drift", "measures"}


def modules() -> dict[str, Path]:
    """Name every module of the package by its dotted path below `tidewheel`."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """Give each imported module's full name, and whether the import stands at the top of the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import at line {node.lineno}; write the full name"
            assert node.module is not None
            yield node.module, id(node) in top
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in top


def package_of(module: str) -> str:
    return module.split(".")[0]


def own_imports(path: Path, known: set[str]) -> set[str]:
    """Give the modules of Tidewheel that a file imports, as dotted paths below `tidewheel`."""
    names = {name.removeprefix("tidewheel.") for name, _ in imports_of(path) if name.startswith("tidewheel.")}
    found = {name for name in names if name in known or name == "_native"}
    # `from tidewheel.drift import inputs` names the module `drift.inputs`, not what `drift/__init__.py` gathers.
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}


MODULES = modules()


def test_every_package_has_a_layer() -> None:
    assert {package_of(name) for name in MODULES} <= set(LAYERS)


@pytest.mark.parametrize("name", MODULES, ids=str)
def test_imports_go_down(name: str) -> None:
    here = package_of(name)
    for imported in own_imports(MODULES[name], set(MODULES)):
        there = package_of(imported)
        assert here == there or LAYERS[there] < LAYERS[here], (
            f"tidewheel.{name} (layer {LAYERS[here]}) imports tidewheel.{imported} (layer {LAYERS[there]})"
        )


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("drift.")], ids=str)
def test_imports_inside_drift_go_down(name: str) -> None:
    here = name.split(".")[1]
    for imported in own_imports(MODULES[name], set(MODULES)):
        if not imported.startswith("drift."):
            continue
        there = imported.split(".")[1]
        assert here == there or FLOORS_OF_DRIFT[there] < FLOORS_OF_DRIFT[here], (
            f"tidewheel.{name} (floor {FLOORS_OF_DRIFT[here]}) imports tidewheel.{imported} (floor {FLOORS_OF_DRIFT[there]})"
        )


@pytest.mark.parametrize("name", MODULES, ids=str)
def test_third_parties_stay_in_their_rooms(name: str) -> None:
    here = package_of(name)
    for imported, at_top in imports_of(MODULES[name]):
        top = imported.split(".")[0]
        assert here in ONLY_IN.get(top, {here}), (
            f"tidewheel.{name} imports {top}, which belongs in {ONLY_IN[top]}"
        )
        if here in STANDARD_LIBRARY_ALONE:
            assert top not in {"numpy", "polars"}, f"tidewheel.{name} imports {top}"
        if here == "measures":
            assert top in {*sys.stdlib_module_names, "numpy", "tidewheel"}, f"tidewheel.{name} imports {top}"
        if here in NUMPY_ALONE and at_top and top == "polars":
            pytest.fail(f"tidewheel.{name} imports polars; the base install has NumPy alone")
        if top == "ray":
            assert name.endswith("_ray"), f"tidewheel.{name} imports ray; only modules named *_ray may"


PURE = (
    "measures",
    "rollout",
    "retraining",
    "evidence.criteria",
    "evidence.gates",
    "evidence.standing",
    "monitoring.triage",
)
"""What decides: numbers and records in, a decision with its reason out. Clock and randomness are passed in."""

IMPURE = {"os", "time", "random", "secrets", "pathlib", "shutil", "socket", "subprocess", "tempfile"}


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(PURE)], ids=str)
def test_what_decides_knows_no_clock_files_or_chance(name: str) -> None:
    path = MODULES[name]
    imported = {module.split(".")[0] for module, _ in imports_of(path)}
    assert not imported & IMPURE, f"tidewheel.{name} imports {imported & IMPURE}"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    read = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    assert not {"now", "utcnow", "today", "environ", "getenv"} & set(read)
    unseeded = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "default_rng"
        and not node.args
    ]
    assert not unseeded


def test_no_import_circles() -> None:
    graph = {name: own_imports(path, set(MODULES)) for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import circle: {' -> '.join(error.args[1])}")


def test_the_checks_see_a_breach(tmp_path: Path) -> None:
    source = tmp_path / "breach.py"
    source.write_text("from tidewheel.flows import lifecycle\nimport ray.serve\n", encoding="utf-8")
    assert ("tidewheel.flows", True) in list(imports_of(source))
    assert ("ray.serve", True) in list(imports_of(source))
