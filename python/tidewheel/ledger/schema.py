"""The two tables of the ledger, and how a database is prepared to hold them.

What belongs here: tables, triggers, and what a SQLite file needs so that several processes may use it at once. What does
not: what is written into the tables (`ledger.store`).
"""

import time
from pathlib import Path

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    inspect,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from tidewheel.errors import InputError, MissingExtraError

BUSY_TIMEOUT_S = 30.0
"""How long a writer waits for the others. Transactions take milliseconds; so long a wait means a hung process."""

BEGIN_OPTION = "tidewheel_begin"
"""Execution option with the statement that begins a transaction in SQLite; empty: none is begun."""

metadata = MetaData()

records = Table(
    "records",
    metadata,
    # Counted by the writer inside its transaction, not by the database: a gap must mean that a row was taken away.
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("format_version", Integer, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("subject", Text, nullable=False, index=True),
    Column("cause", Text),
    Column("wall_utc", String(32), nullable=False),
    Column("content", Text, nullable=False),
    Column("previous_sha256", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    UniqueConstraint("kind", "cause"),
)
"""Every record ever written, one row each; never changed, never deleted."""

plan_heads = Table(
    "plan_heads",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("sequence", Integer, ForeignKey("records.sequence"), nullable=False),
    CheckConstraint("generation >= 1"),
)
"""Which record is the plan in force; the only rows that change, by compare-and-swap on `generation`."""

_TRIGGERS = (
    """CREATE TRIGGER records_refuse_update BEFORE UPDATE ON records
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: a record cannot be changed'); END""",
    """CREATE TRIGGER records_refuse_delete BEFORE DELETE ON records
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: a record cannot be deleted'); END""",
    # Also refuses INSERT OR REPLACE, which would delete the old row without asking the trigger above.
    """CREATE TRIGGER records_refuse_gap BEFORE INSERT ON records
    WHEN NEW.sequence IS NOT (SELECT COALESCE(MAX(sequence), 0) + 1 FROM records)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: a record takes the next number'); END""",
    """CREATE TRIGGER plan_heads_refuse_skip BEFORE UPDATE ON plan_heads
    WHEN NEW.name IS NOT OLD.name OR NEW.generation IS NOT OLD.generation + 1
    BEGIN SELECT RAISE(ABORT, 'a plan goes from one generation to the next'); END""",
    """CREATE TRIGGER plan_heads_refuse_delete BEFORE DELETE ON plan_heads
    BEGIN SELECT RAISE(ABORT, 'a plan cannot be deleted'); END""",
)


def parse_address(address: str | Path) -> URL:
    """Read the address of a ledger: a database URL, or the path of a SQLite file.

    Raises:
        InputError: the address is no URL that can be read.
    """
    text = str(address)
    if "://" not in text:
        return URL.create("sqlite", database=text)
    try:
        return make_url(text)
    except ArgumentError as error:
        raise InputError(f"a ledger's address must be a path or a database URL; got {text!r}") from error


def make_engine(url: URL) -> Engine:
    """Make the engine of a ledger; nothing is opened yet. The folder of a SQLite file is made if it is missing.

    Raises:
        InputError: there is no such kind of database, or the folder cannot be made.
        MissingExtraError: the database's driver is not installed.
    """
    if url.get_backend_name() != "sqlite":
        return _make_server_engine(url)
    # A database "file:..." is SQLite's own form of an address, not a path.
    if url.database and not url.database.startswith("file:"):
        folder = Path(url.database).absolute().parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {folder} for the ledger: {error.strerror}") from error
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_server_engine(url: URL) -> Engine:
    try:
        return create_engine(url, pool_pre_ping=True)
    except NoSuchModuleError as error:
        raise InputError(
            f"a ledger may lie in sqlite or postgresql+psycopg; got an address of {url.drivername!r}"
        ) from error
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"a ledger in {url.drivername!r} needs the package {error.name}; install it beside Tidewheel"
        ) from error


def is_unreachable_file(error: DBAPIError) -> bool:
    """Say whether SQLite cannot open or write its file at all: a matter of the path, not of waiting and trying again."""
    name = getattr(error.orig, "sqlite_errorname", "")
    return name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY"))


def lock_for_writing(connection: Connection) -> None:
    """Make a transaction the only writer until it ends; SQLite's is that since its BEGIN IMMEDIATE."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE records IN EXCLUSIVE MODE")


def has_tables(connection: Connection) -> bool:
    """Say whether the database has been prepared."""
    return inspect(connection).has_table(plan_heads.name)


def create_tables(connection: Connection) -> None:
    """Make tables and triggers, all in the transaction of `connection`; does nothing when they are there."""
    if has_tables(connection):
        return
    metadata.create_all(connection)
    if connection.dialect.name == "sqlite":
        for trigger in _TRIGGERS:
            connection.exec_driver_sql(trigger)


def enter_wal(engine: Engine) -> None:
    """Let readers read a SQLite file while somebody writes (write-ahead log); the file remembers it.

    While somebody else writes to a file that is not in this mode yet, SQLite does not wait for its busy timeout but fails
    immediately. Hence the loop.
    """
    until = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            with engine.execution_options(**{BEGIN_OPTION: ""}).connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            return
        except OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _set_up_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    # Commits outlive a power cut as well; NORMAL may lose the last of them in WAL mode.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # The driver alone would begin a transaction only before the first change, and never ask for the lock ahead.
    statement = connection.get_execution_options().get(BEGIN_OPTION, "BEGIN")
    if statement:
        connection.exec_driver_sql(statement)
