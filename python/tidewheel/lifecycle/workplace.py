"""Where one project's files and records are: the folder of `tidewheel.toml` and the `state` folder beside it.

Addresses, and what is read there once in a use case: each opens a workplace of its own, so that the next one asks the source
again. Nothing here changes a record.
"""

import sys
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

import polars as pl

from tidewheel.data.rows import read_rows
from tidewheel.data.versions import read_version
from tidewheel.errors import UnknownNameError
from tidewheel.evidence.records import DataVersion
from tidewheel.evidence.store import Ledger
from tidewheel.project.files import PROJECT_FILE, read_settings, settings_sha256
from tidewheel.project.settings import Environment, Settings

#: A turn looks at the newest version and at the one that the champion learned from; a rehearsal makes one a month.
KEPT_VERSIONS = 2
#: The environment of a project that describes none: this machine.
LOCAL = "local"


def project_folder(project: str | Path) -> Path:
    """Give the folder of a project that is named by it or by its project file; neither has to be there."""
    path = Path(project).resolve()
    return path.parent if path.suffix == ".toml" else path


def services_folder(folder: Path) -> Path:
    """Give the folder of the run file and the logs of the services that a project in `folder` started."""
    return folder / "state" / "services"


def prefect_folder(folder: Path) -> Path:
    """Give the folder of the run file and the log of the Prefect server that `tidewheel run` starts for itself."""
    return folder / "state" / "prefect"


@dataclass(frozen=True)
class Workplace:
    """Give the addresses of one project in one environment."""

    folder: Path
    settings: Settings
    environment: Environment
    environment_name: str = LOCAL
    _versions: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False, compare=False)
    """Rows of data versions that were read, by content hash."""

    @classmethod
    def open(cls, project: str | Path, environment: str = LOCAL) -> "Workplace":
        """Read the project file in folder `project` (or the file itself) and find the addresses of `environment`.

        The environment "local", unless the file describes it, is this machine: SQLite and Delta files under `state`.
        Modules in the project's folder can be imported from then on: the source and the heuristic are often there.

        Raises:
            SettingsError: the file is missing or not acceptable.
            UnknownNameError: the file describes no such environment.
        """
        path = Path(project).resolve()
        file = path if path.suffix == ".toml" else path / PROJECT_FILE
        settings = read_settings(file)
        if str(file.parent) not in sys.path:
            sys.path.append(str(file.parent))
        known = {LOCAL: Environment(), **settings.environments}
        if environment not in known:
            raise UnknownNameError(
                f"environment {environment!r} must be one of those in {file}: {', '.join(known)}"
            )
        return cls(file.parent, settings, known[environment], environment)

    @property
    def state(self) -> Path:
        """Folder of everything that is kept between runs."""
        return self.folder / "state"

    @property
    def ledger_url(self) -> str:
        """Address of the evidence ledger."""
        return self.environment.ledger_url or f"sqlite:///{self.state / 'ledger.sqlite'}"

    @property
    def has_ledger(self) -> bool:
        """Whether there is a ledger to be opened; that of a server is taken to be there."""
        return self.environment.ledger_url is not None or (self.state / "ledger.sqlite").exists()

    @property
    def mlflow_uri(self) -> str:
        """Address of MLflow's store."""
        return self.environment.mlflow_tracking_uri or f"sqlite:///{self.state / 'mlflow.sqlite'}"

    @property
    def data_uri(self) -> str:
        """Address of the Delta table that holds the versions of the data set."""
        root = self.environment.data_uri or str(self.state / "data")
        return f"{root}/{self.settings.data.name}"

    @property
    def log_uri(self) -> str:
        """Folder of the prediction log: its Delta tables and the segments on their way there."""
        return str(self.state / "log")

    @property
    def packages(self) -> Path:
        """Folder of the packaged models."""
        return self.state / "packages"

    @property
    def services(self) -> Path:
        """Folder of the run file and the logs of the services that this project started."""
        return services_folder(self.folder)

    @cached_property
    def settings_sha256(self) -> str:
        """Digest of the checked settings."""
        return settings_sha256(self.settings)

    @cached_property
    def source(self) -> pl.DataFrame:
        """Rows of the project's source, in the types that its contract asks for; read once.

        Raises:
            UnknownNameError, InputTypeError, InputError: see `data.rows.read_rows`.
        """
        return read_rows(self.settings)

    def version_rows(self, version: DataVersion) -> pl.DataFrame:
        """Give the rows of a data version, which never change; the last two that were asked for are kept.

        Raises:
            IntegrityError: they are not those that were recorded.
        """
        if version.content_sha256 not in self._versions:
            if len(self._versions) == KEPT_VERSIONS:
                del self._versions[next(iter(self._versions))]
            self._versions[version.content_sha256] = read_version(
                version.uri, version.delta_version, version.content_sha256
            )
        return self._versions[version.content_sha256]

    def known_rows(self, now_utc: datetime) -> pl.DataFrame:
        """Give the source's rows that had happened at `now_utc`, without the labels that were not known yet.

        Rows without an event time are among them: whether there may be such rows is the contract's to say.
        """
        data, labels = self.settings.data, self.settings.labels
        known = pl.col(labels.known_at) <= now_utc
        return self.source.filter((pl.col(data.event_time) < now_utc).fill_null(True)).with_columns(
            pl.when(known).then(pl.col(labels.column)).alias(labels.column),
            pl.when(known).then(pl.col(labels.known_at)).alias(labels.known_at),
        )

    def ledger(self) -> Ledger:
        """Open the ledger; use it as a context manager."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Ledger.open(self.ledger_url)
