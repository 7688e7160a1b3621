"""The two tables of the ledger, their triggers, and what a SQLite file needs so that several processes may use it at once.

What is written into the tables is in `evidence.store`.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

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
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

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

_NEWEST_PLAN = "SELECT MAX(sequence), COUNT(*) FROM records WHERE kind = 'plan' AND subject = NEW.name"
_REFUSED_HEAD = "the plan in force is the last one written of its name, at the generation that counts them"

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
    # After the update, so that the trigger above has its say first.
    f"""CREATE TRIGGER plan_heads_refuse_other AFTER UPDATE ON plan_heads
    WHEN (NEW.sequence, NEW.generation) IS NOT ({_NEWEST_PLAN})
    BEGIN SELECT RAISE(ABORT, '{_REFUSED_HEAD}'); END""",
    # Also refuses INSERT OR REPLACE, which would delete the old row without asking the trigger below.
    f"""CREATE TRIGGER plan_heads_refuse_insert BEFORE INSERT ON plan_heads
    WHEN (NEW.sequence, NEW.generation) IS NOT ({_NEWEST_PLAN})
    BEGIN SELECT RAISE(ABORT, '{_REFUSED_HEAD}'); END""",
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


def file_of(url: URL) -> Path | None:
    """Give the file of a SQLite database; None if it lies in memory or with a server."""
    database = url.database
    if url.get_backend_name() != "sqlite" or not database or ":memory:" in database:
        return None
    if not _is_sqlite_address(url):
        return Path(database).absolute()
    path = database.removeprefix("file:").removeprefix("//localhost")
    return None if url.query.get("mode") == "memory" else Path(unquote(path)).absolute()


def _is_sqlite_address(url: URL) -> bool:
    """Say whether the database is named in SQLite's own form, "file:...", which says how it is opened, and not by a path."""
    return (url.database or "").startswith("file:")


def make_engine(url: URL, check_opened: Callable[[], None] | None = None) -> Engine:
    """Make the engine of a ledger; nothing is opened yet. A SQLite file is made if it is missing, and its folder.

    Args:
        url: address of the database.
        check_opened: is called when SQLite has opened its file, and before it reads it.

    Raises:
        InputError: there is no such kind of database, or the folder cannot be made.
        MissingExtraError: the database's driver is not installed.
    """
    if url.get_backend_name() != "sqlite":
        return _make_server_engine(url)
    path = file_of(url)
    # No pool: a connection that is kept goes on with its file when that is moved away or replaced, and keeps the side files
    # `-wal` and `-shm`, which SQLite finds by name: they would be taken for those of the new file.
    pool: dict[str, Any] = {} if path is None else {"poolclass": NullPool}
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S}, **pool)
    if path is not None and not _is_sqlite_address(url):
        _make_file(path)
        # Later connections must not make it again in silence when it is gone.
        address = f"{path.as_uri()}?mode=rw"
        event.listen(engine, "do_connect", lambda _, __, given, named: _open_existing(address, given, named))
    if check_opened is not None:
        event.listen(engine, "connect", lambda connection, _: _close_unless(check_opened, connection))
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path.parent} for the ledger: {error.strerror}") from error
    if not path.exists():
        with suppress(OSError):  # SQLite's own words say why when it is opened
            path.touch()


def _close_unless(check_opened: Callable[[], None], connection: DBAPIConnection) -> None:
    try:
        check_opened()
    except BaseException:
        connection.close()
        raise


def _open_existing(address: str, given: list[Any], named: dict[str, Any]) -> None:
    """Have SQLite open an address in its own form in place of the path."""
    given[0] = address
    named["uri"] = True


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


def is_no_database(error: DBAPIError) -> bool:
    """Say whether SQLite found that its file is none of its own, or is spoilt."""
    return getattr(error.orig, "sqlite_errorname", "").startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT"))


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


def empty_wal(connection: Connection) -> None:
    """Move all that was committed from the write-ahead log into the file that this connection has open, wherever it lies."""
    connection.execution_options(**{BEGIN_OPTION: ""}).exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


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
