"""Where one project's files and records are: the folder of `tidewheel.toml` and the `state` folder beside it.

What belongs here: addresses, and opening what lies there. What does not: anything that changes a record. Flows take the
project's folder as a parameter and open the workplace themselves, so that a worker on another machine can do the same.
"""

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tidewheel.ledger.store import Ledger
from tidewheel.project.files import read_settings, settings_sha256
from tidewheel.project.settings import Environment, Settings

PROJECT_FILE = "tidewheel.toml"


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

    @classmethod
    def open(cls, project: str | Path, environment: str = "local") -> "Workplace":
        """Read the project file in folder `project` (or the file itself) and find the addresses of `environment`.

        An environment that the file does not describe is this machine: SQLite and Delta files under `state`. Modules in
        the project's folder can be imported from then on: the source and the heuristic are often there.

        Raises:
            SettingsError: the file is missing or not acceptable.
        """
        path = Path(project).resolve()
        file = path if path.suffix == ".toml" else path / PROJECT_FILE
        settings = read_settings(file)
        if str(file.parent) not in sys.path:
            sys.path.append(str(file.parent))
        return cls(file.parent, settings, settings.environments.get(environment, Environment()))

    @property
    def state(self) -> Path:
        """Folder of everything that is kept between runs."""
        return self.folder / "state"

    @property
    def ledger_url(self) -> str:
        """Address of the evidence ledger."""
        return self.environment.ledger_url or f"sqlite:///{self.state / 'ledger.sqlite'}"

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

    def ledger(self) -> Ledger:
        """Open the ledger; use it as a context manager."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Ledger.open(self.ledger_url)
