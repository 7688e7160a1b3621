"""The project file: what is accepted, and where and how everything else is refused."""

from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_text import PROJECT, changed, written
from tidewheel.errors import SettingsError, UnknownNameError
from tidewheel.project.files import ERRORS_SHOWN, load_reference, read_settings, settings_sha256

KEYS_OF_ROLLOUT = (
    "'share_shadow', 'share_canary', 'alpha', 'keys_min', 'guards', 'quality', 'shadow_days', 'canary_days'"
)

REFUSED = {
    "misspelt key": (
        "keys_min = 50",
        "key_min = 50",
        f"rollout.key_min: unknown key 'key_min'; did you mean 'keys_min'? Known are {KEYS_OF_ROLLOUT}",
    ),
    "other case and dashes": (
        "keys_min = 50",
        "KEYS-MIN = 50",
        f"rollout.KEYS-MIN: unknown key 'KEYS-MIN'; did you mean 'keys_min'? Known are {KEYS_OF_ROLLOUT}",
    ),
    "misspelt section": ("[retrain]", "[retrian]", "retrian: unknown key 'retrian'; did you mean 'retrain'?"),
    "key of another section": (
        "port = 0",
        "cooldown_days = 3",
        "serving.cooldown_days: unknown key 'cooldown_days'; it belongs to [retrain]",
    ),
    "nothing like it": (
        "heuristic =",
        "zzz = 1\nheuristic =",
        "baselines.zzz: unknown key 'zzz'; known are 'heuristic', 'simple'",
    ),
    "in a list of tables": (
        'family = "xgboost"',
        'family = "xgboost"\nparametres = 1',
        "model.candidates.1.parametres: unknown key 'parametres'; did you mean 'parameters'? "
        "Known are 'name', 'family', 'parameters'",
    ),
    "in an inline table": (
        "minimum = 0,",
        "minimun = 0,",
        "contract.columns.weight.minimun: unknown key 'minimun'; did you mean 'minimum'? "
        "Known are 'type', 'nullable', 'minimum', 'maximum', 'allowed', 'unique'",
    ),
    "in a table named like a key": (
        "stops = {",
        "type = { minimun = 1, ",
        "contract.columns.type.minimun: unknown key 'minimun'; did you mean 'minimum'? "
        "Known are 'type', 'nullable', 'minimum', 'maximum', 'allowed', 'unique'",
    ),
    "in an environment": (
        "ledger_url",
        "ledger_ulr",
        "environments.production.ledger_ulr: unknown key 'ledger_ulr'; did you mean 'ledger_url'? "
        "Known are 'prefect_api_url', 'mlflow_tracking_uri', 'ledger_url', 'data_uri'",
    ),
    "stage of a gate": (
        "[[gates.data.criteria]]",
        "[[gates.dat.criteria]]",
        "gates.dat: unknown name 'dat'; did you mean 'data'?",
    ),
    "name of an environment": (
        "[environments.production]",
        '[environments." "]',
        "environments. : the name must match pattern '^[A-Za-z0-9][A-Za-z0-9_.-]*$'; got ' '",
    ),
    "missing key": (
        'event_time = "sent_at_utc"\n',
        "",
        "data.event_time: the key 'event_time' is required and missing",
    ),
    "too large": ("alpha = 0.05", "alpha = 5", "rollout.alpha: must be less than 0.5; got 5"),
    "not finite": (
        "threshold = 100",
        "threshold = nan",
        "gates.data.criteria.0.threshold: must be a finite number; got nan",
    ),
    "more than half in one arm": (
        "keys_min = 50",
        "share_canary = 0.6",
        "rollout.share_canary: must be less than or equal to 0.5; got 0.6",
    ),
    "text for a number": (
        "port = 0",
        'port = "8000"',
        "serving.port: must be a whole number; got '8000'",
    ),
    "truth for a number": ("port = 0", "port = true", "serving.port: must be a whole number; got True"),
    "truth for a share": ("alpha = 0.05", "alpha = true", "rollout.alpha: must be a number; got True"),
    "fraction for a count": (
        "keys_min = 50",
        "keys_min = 50.5",
        "rollout.keys_min: must be a whole number; got 50.5",
    ),
    "text for truth": (
        "unique = true",
        'unique = "yes"',
        "contract.columns.parcel_id.unique: must be true or false; got 'yes'",
    ),
    "number for text": ('unit = "day"', "unit = 7", "data.unit: must be text; got 7"),
    "text for a list": (
        'numeric = ["weight", "stops"]',
        'numeric = "weight"',
        "features.numeric: must be a list; got 'weight'",
    ),
    "value for a table": (
        "port = 0",
        "\n[monitoring]\nwindow = {}",
        "monitoring.window: must be 'month'; got {}",
    ),
    "table for a parameter": (
        "max_depth = 3",
        "max_depth = [3]",
        "model.candidates.1.parameters.max_depth: must be a number, text, true or false; got [3]",
    ),
    "parameter not finite": (
        "max_depth = 3",
        "eta = inf",
        "model.candidates.1.parameters.eta: must be a finite number; got inf",
    ),
    "unknown choice": (
        'family = "logistic"',
        'family = "logit"',
        "model.candidates.0.family: must be 'logistic' or 'xgboost'; got 'logit'; did you mean 'logistic'?",
    ),
    "no code": (
        'source = "shop.rows:read_parcels"',
        'source = "parcels.csv"',
        "data.source: must name Python code as 'module:function'; got 'parcels.csv'",
    ),
    "code of the package around it": (
        'source = "shop.rows:read_parcels"',
        'source = ".rows:read"',
        "data.source: must name Python code as 'module:function'; got '.rows:read'",
    ),
    "unknown time zone": (
        'unit = "day"',
        'time_zone = "New York"',
        "data.time_zone: must be a time zone such as 'UTC' or 'America/New_York'; got 'New York'",
    ),
    "address that others reach": (
        "port = 0",
        'host = "0.0.0.0"',
        "serving.host: must be an address of this machine alone, such as '127.0.0.1': the server has no tokens yet, "
        "and whoever reaches it may ask it; got '0.0.0.0'",
    ),
    "name that others reach": (
        "port = 0",
        'host = "models.example"',
        "serving.host: must be an address of this machine alone, such as '127.0.0.1': the server has no tokens yet, "
        "and whoever reaches it may ask it; got 'models.example'",
    ),
    "host with a port": (
        "port = 0",
        'hosts = ["models.example:80"]',
        "serving.hosts.0: must be the name of a machine, without a port; got 'models.example:80'",
    ),
    "no time at all": ("port = 0", "deadline_s = 0.0", "serving.deadline_s: must be greater than 0; got 0.0"),
    "long value": (
        "keys_min = 50",
        f"keys_min = {list(range(40))}",
        "rollout.keys_min: must be a whole number; got "
        "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16...",
    ),
}


@pytest.mark.parametrize(("old", "new", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = written(tmp_path, changed(old, new))
    with pytest.raises(SettingsError) as caught:
        read_settings(path)
    place, _, said = str(caught.value).splitlines()[-1].partition(": ")
    assert said == words
    # The line is that of the changed text, which may begin a little above the key itself.
    first = PROJECT[: PROJECT.index(old)].count("\n") + 1
    lines = range(first, first + new.count("\n") + 1) if new else [6]
    assert place in {f"{path}:{line}" for line in lines}


NOT_TOML = {
    "header left open": (
        "[scope]\n",
        "[scope\n",
        0,
        "expected ']' at the end of a table declaration, column 7",
    ),
    "no value": ("port = 0", "port =", 0, "invalid value, column 7"),
    "key twice": ("port = 0", "port = 0\nport = 1", 1, "cannot overwrite a value, column 9"),
    "text left open": (
        'ledger_url = "postgresql://cluster/ledger"\n',
        'ledger_url = """postgresql',
        0,
        "unterminated string, where the file ends",
    ),
}


@pytest.mark.parametrize(("old", "new", "further", "words"), NOT_TOML.values(), ids=NOT_TOML.keys())
def test_not_toml(tmp_path: Path, old: str, new: str, further: int, words: str) -> None:
    path = written(tmp_path, changed(old, new))
    line = PROJECT[: PROJECT.index(old)].count("\n") + 1 + further
    with pytest.raises(SettingsError) as caught:
        read_settings(path)
    assert str(caught.value) == f"{path}:{line}: is not TOML: {words}"


def test_all_errors_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    # An order that neither the settings nor the kinds of errors have.
    text = "[monitoring]\nalpha = 5\n" + changed("port = 0", "prot = 0").replace("protected", "pretected")
    with pytest.raises(SettingsError) as caught:
        read_settings(written(tmp_path, text))
    keys = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert keys == ["monitoring.alpha", "scope.pretected", "serving.prot"]


def test_empty_file_names_every_table(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    with pytest.raises(SettingsError) as caught:
        read_settings(path)
    tables = ("scope", "data", "contract", "labels", "features", "baselines", "model")
    assert str(caught.value).splitlines() == [
        f"{path}: {table}: the table '{table}' is required and missing" for table in tables
    ]


def test_a_table_written_as_a_value(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r":1: monitoring: must be a table; got 5$"):
        read_settings(written(tmp_path, f"monitoring = 5\n{PROJECT}"))


def test_many_errors_are_cut(tmp_path: Path) -> None:
    path = written(tmp_path, PROJECT + "".join(f"x{number} = 1\n" for number in range(ERRORS_SHOWN + 5)))
    with pytest.raises(SettingsError) as caught:
        read_settings(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == ERRORS_SHOWN + 1
    assert lines[-1] == "... and 5 more"


def test_missing_file_says_how_to_name_it(tmp_path: Path) -> None:
    path = tmp_path / "tidewheel.toml"
    with pytest.raises(SettingsError) as caught:
        read_settings(path)
    assert str(caught.value) == f"there is no project file {path}; give its folder with --project"


@pytest.mark.parametrize(("below", "words"), [("", "Is a directory"), ("file/x.toml", "Not a directory")])
def test_file_that_cannot_be_read(tmp_path: Path, below: str, words: str) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / below
    with pytest.raises(SettingsError) as caught:
        read_settings(path)
    assert str(caught.value) == f"cannot read the project file {path}: {words}"


def test_other_encoding(tmp_path: Path) -> None:
    path = tmp_path / "tidewheel.toml"
    path.write_bytes(b'[scope]\nname = "caf\xe9"\n')
    with pytest.raises(SettingsError) as caught:
        read_settings(path)
    assert str(caught.value) == f"{path}:2: the file must be UTF-8; got the byte 0xe9"


def test_byte_order_mark_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "tidewheel.toml"
    path.write_bytes(b"\xef\xbb\xbf" + PROJECT.replace("\n", "\r\n").encode())
    assert read_settings(path) == read_settings(written(tmp_path, PROJECT))


def test_the_worked_example_is_accepted() -> None:
    assert (
        read_settings(Path(str(files("tidewheel.examples.flights") / "tidewheel.toml"))).data.name
        == "flights"
    )


def test_refusing_writes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, changed("port = 0", "prot = 0"))
    with pytest.raises(SettingsError):
        read_settings(path)
    assert list(tmp_path.iterdir()) == [path]


@given(st.text(st.sampled_from('ab=.[]{}"\n# 1,'), max_size=40), st.integers(0, len(PROJECT)))
def test_no_text_ends_in_another_error(tmp_path_factory: pytest.TempPathFactory, scrap: str, at: int) -> None:
    path = written(tmp_path_factory.mktemp("scrap"), PROJECT[:at] + scrap + PROJECT[at:])
    try:
        read_settings(path)
    except SettingsError as error:
        assert str(error).startswith(str(path))  # noqa: PT017 - accepted texts are fine as well


def digest(tmp_path: Path, text: str) -> str:
    return settings_sha256(read_settings(written(tmp_path, text)))


def test_digest_is_of_the_meaning(tmp_path: Path) -> None:
    plain = digest(tmp_path, PROJECT)
    spaced = digest(tmp_path, "# first\n" + changed("alpha = 0.05", "alpha   =   5e-2 # the usual"))
    spelt_out = digest(tmp_path, changed("port = 0", 'host = "127.0.0.1"'))
    whole = digest(tmp_path, changed("maximum = 40", "maximum = 40.0"))
    assert plain == spaced == spelt_out == whole
    assert len(plain) == 64
    assert digest(tmp_path, changed("alpha = 0.05", "alpha = 0.04")) != plain


def test_reference_is_loaded() -> None:
    assert load_reference("tidewheel.project.files:read_settings") is read_settings


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_of_tests.py").write_text("import no_such_part\n")
    monkeypatch.syspath_prepend(str(tmp_path))


REFERENCES = {
    "misspelt function": (
        "tidewheel.project.files:read_setting",
        "tidewheel.project.files has no function 'read_setting'; did you mean 'read_settings'?",
    ),
    "nothing like it": (
        "tidewheel.project.scope:zzz",
        "tidewheel.project.scope has no function 'zzz'; known are 'check_scope'",
    ),
    "missing module": (
        "no_such_shop.rows:read",
        "'no_such_shop.rows:read' names a module that cannot be found: no_such_shop; is its folder on PYTHONPATH?",
    ),
    "missing inner module": (
        "tidewheel.projects:read",
        "'tidewheel.projects:read' names a module that cannot be found: tidewheel.projects; "
        "is its folder on PYTHONPATH?",
    ),
    "no function": (
        "tidewheel.project.files:ERRORS_SHOWN",
        "'ERRORS_SHOWN' of tidewheel.project.files is no function; it is of type int",
    ),
    "no colon": ("shop.rows", "a reference must have the form 'module:function'; got 'shop.rows'"),
    "relative": (".rows:read", "a reference must have the form 'module:function'; got '.rows:read'"),
    "line end": ("shop:read\n", "a reference must have the form 'module:function'; got 'shop:read\\n'"),
}


@pytest.mark.parametrize(("reference", "words"), REFERENCES.values(), ids=REFERENCES.keys())
def test_unknown_references(reference: str, words: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_reference(reference)
    assert str(caught.value) == words


@pytest.mark.usefixtures("shop")
def test_an_error_inside_the_users_module_passes_through() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_part"):
        load_reference("shop_of_tests:read")
