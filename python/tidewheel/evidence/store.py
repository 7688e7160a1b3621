"""The ledger: every version, verdict, decision and plan in the order in which it was written, each row chained to the last.

What the records mean is in `evidence.records`, how they are written as text in `evidence.canonical`, the tables in
`evidence.schema`, checking the chain in `evidence.chain`.

Many processes use one ledger at once: flows, replicas, commands. A write is one short transaction that excludes other
writers and never readers; a process killed at any moment leaves either the whole row or nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, insert, select, update
from sqlalchemy import Row as TableRow
from sqlalchemy.exc import DatabaseError, OperationalError

from tidewheel.errors import ConflictError, InputError, IntegrityError, ServiceError, UnknownNameError
from tidewheel.evidence.canonical import (
    FORMAT_VERSION,
    GENESIS,
    Kind,
    decode_record,
    decode_time,
    encode_record,
    encode_time,
    kind_of,
    row_sha256,
    subject_of,
)
from tidewheel.evidence.chain import Chain, check_heads, check_links
from tidewheel.evidence.files import FileId, LedgerFile
from tidewheel.evidence.records import DataVersion, Decision, Evidence, Finding, ModelVersion, Plan, Record
from tidewheel.evidence.schema import (
    BEGIN_OPTION,
    BUSY_TIMEOUT_S,
    create_tables,
    empty_wal,
    enter_wal,
    file_of,
    has_tables,
    is_no_database,
    is_unreachable_file,
    lock_for_writing,
    make_engine,
    parse_address,
    plan_heads,
    records,
)
from tidewheel.evidence.standing import Standing, decide_standing, is_about

R = TypeVar("R", bound=Record)

_FILE = "tidewheel_file"
"""Under this name a connection knows which file it has open."""

_STANDING_KINDS: tuple[Kind, ...] = ("model version", "data version", "evidence")


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one row of the ledger: a record, when it was written (wall clock), and its place in the chain."""

    sequence: int
    kind: str
    subject: str
    record: Record
    cause: str | None
    wall_utc: datetime
    sha256: str
    previous_sha256: str


class Ledger:
    """Keep the records of one project; safe to use from several threads and processes.

    Whatever is read is checked in the same transaction: each row against its own digest, and the chain from the oldest of
    these rows to the ledger's last, so that a decision never rests on a row that was changed, taken away or put in. Whether
    the chain as a whole holds, `verify` says.

    A SQLite file is opened anew for each transaction (`evidence.files`). So a file that was put in its place meanwhile is
    the ledger from then on; while there is none, or no ledger, everything is an InputError, and no new one is made.

    Cost: 1 ms to open the file, and 5 ms more for a write; for checking see `chain.Chain.check`.

    Example:
        >>> at = datetime(2013, 6, 1, tzinfo=UTC)
        >>> with Ledger.open("sqlite://") as ledger:  # in memory; give the path of a file to keep it
        ...     first = ledger.append(Decision("deploy", "a1", "deploy flow", "first model", at))
        ...     plan = ledger.swap_plan(Plan("flights", 1, champion="a1"), expected_generation=0)
        ...     print(first, plan.generation, ledger.verify())
        1 1 2
    """

    def __init__(self, engine: Engine, file: LedgerFile | None = None) -> None:
        self._engine = engine
        self._chain = Chain()
        self._file = file
        """None in memory and with a server."""
        self._used: FileId | None = None
        """The file that was used last."""
        # The lock is taken when the transaction begins: one that reads first and asks for it later may lose all its work.
        self._writer = engine.execution_options(**{BEGIN_OPTION: "BEGIN IMMEDIATE"})
        # One state of the database for all statements of a transaction; SQLite gives that anyway.
        server = engine.dialect.name == "postgresql"
        self._reader = engine.execution_options(isolation_level="REPEATABLE READ") if server else engine

    @classmethod
    def open(cls, address: str | Path) -> "Ledger":
        """Open a ledger, and make it if there is none yet.

        Args:
            address: the path of a SQLite file, or a database URL ("sqlite:///...", "postgresql+psycopg://...").

        Raises:
            InputError: the address cannot be read, what lies there is no database, or the file cannot be opened or written.
            MissingExtraError: the database's driver is not installed.
            ServiceError: the database does not answer.
        """
        url = parse_address(address)
        shown = url.render_as_string(hide_password=True)
        path = file_of(url)
        file = None if path is None else LedgerFile(path, shown, BUSY_TIMEOUT_S)
        ledger = cls(make_engine(url, None if file is None else file.check_opened), file)
        try:
            ledger._prepare()
        except OperationalError as error:
            ledger.close()
            kind = InputError if is_unreachable_file(error) else ServiceError
            raise kind(f"cannot open the ledger {shown}: {error.orig}") from error
        except DatabaseError as error:
            ledger.close()
            raise InputError(f"{shown} is no ledger: {error.orig}") from error
        return ledger

    def _prepare(self) -> None:
        while True:
            with (
                ExitStack() as held,
                suppress(ConflictError),
            ):  # the file was replaced at this moment: once more
                if self._file is not None and self._file.exists():  # SQLite makes one given in its own form
                    held.enter_context(self._file.hold())
                return self._make_tables()

    def _make_tables(self) -> None:
        if self._engine.dialect.name == "sqlite":
            enter_wal(self._engine)
        with self._engine.begin() as connection:
            ready = has_tables(connection)
        if not ready:
            with self._writer.begin() as connection:
                create_tables(connection)

    def close(self) -> None:
        """Close the connections; the ledger may be opened again."""
        self._engine.dispose()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, record: Record, *, cause: str | None = None) -> int:
        """Write a record as the next row.

        Args:
            record: any record but a plan; that one changes by `swap_plan` alone.
            cause: name of what brought the record about. The same cause writes one record of a kind, however often it is
                asked for: a step that is run again after a crash finds its own row.

        Returns:
            The row's sequence number, from 1; with a `cause` that is known already, the number of the first row.

        Raises:
            InputError: the record is a plan, a value of it has the wrong type or no zone, or the file cannot be written.
            ServiceError: another writer held the ledger for too long.
        """
        ((sequence, _),) = self.append_all([(record, cause)])
        return sequence

    def append_all(self, given: Sequence[tuple[Record, str | None]]) -> list[tuple[int, bool]]:
        """Write several records with their causes as one: all of them are there afterwards, or none.

        Returns:
            For each the row's sequence number, and whether it is new; see `append`.

        Raises:
            InputError, ServiceError: as `append`.
        """
        if any(isinstance(record, Plan) for record, _ in given):
            raise InputError("a plan changes by compare-and-swap; use swap_plan")
        written = []
        with self._writing() as connection:
            for record, cause in given:
                found = _find_cause(connection, record, cause)
                written.append(
                    (_insert(connection, record, cause), True) if found is None else (found, False)
                )
        return written

    def swap_plan(self, plan: Plan, *, expected_generation: int, decision: Decision | None = None) -> Plan:
        """Put a plan into force if nobody else did since it was read.

        Args:
            plan: the new plan; its own `generation` does not matter.
            expected_generation: generation of the plan that this one replaces; 0 when there is none yet.
            decision: what the plan carries out; it is written with the plan or not at all.

        Returns:
            The plan as stored, with generation `expected_generation + 1`.

        Raises:
            ConflictError: another plan is in force; read it, then decide again.
            IntegrityError: the plan in force is not the last one that was written.
        """
        stored = replace(plan, generation=expected_generation + 1)
        mine = plan_heads.c.name == plan.name
        with self._writing() as connection:
            current, _ = _head_of(connection, plan.name)
            if current != expected_generation:
                raise ConflictError(
                    f"plan {plan.name!r} is at generation {current}, not {expected_generation}: "
                    "somebody else changed it; read it again, then decide again"
                )
            if decision is not None:
                _insert(connection, decision, None)
            head = {"generation": stored.generation, "sequence": _insert(connection, stored, None)}
            if current:
                connection.execute(update(plan_heads).where(mine).values(head))
            else:
                connection.execute(insert(plan_heads).values(name=plan.name, **head))
        return stored

    def plan(self, name: str) -> Plan | None:
        """Give the plan in force, or None before the first one.

        Raises:
            IntegrityError: it is not the last plan that was written under this name, or a row was changed since.
            InputError: the ledger's file is gone, or is no ledger any more.

        Cost: 1 ms, once the chain up to here was checked; so it may be asked for every few seconds.
        """
        with self._reading() as connection:
            generation, sequence = _head_of(connection, name)
            found = connection.execute(select(records).where(records.c.sequence == sequence)).all()
            self._chain.check(connection, found)
        if not generation:
            return None
        plan = _row(found[0]).record
        if not isinstance(plan, Plan) or (plan.name, plan.generation) != (name, generation):
            raise IntegrityError(
                f"row {sequence} of the ledger must be the plan {name!r} of generation {generation}; it is {plan}"
            )
        return plan

    def last_sequence(self) -> int:
        """Give the sequence number of the last row; 0 before the first."""
        with self._reading() as connection:
            return _last(connection)[0]

    def rows(self, kind: Kind | None = None, subject: str | None = None, *, after: int = 0) -> list[Row]:
        """List rows in order of sequence: all of them, those of a kind, those about a subject, those after a row.

        Raises:
            IntegrityError: a row was changed since it was written.
        """
        query = select(records).where(records.c.sequence > after).order_by(records.c.sequence)
        if kind is not None:
            query = query.where(records.c.kind == kind)
        if subject is not None:
            query = query.where(records.c.subject == subject)
        return self._read(query)

    def data_versions(self, name: str) -> list[DataVersion]:
        """List the versions of a data set, oldest record first."""
        return [row for row in self._typed(DataVersion, "data version") if row.name == name]

    def model_versions(self, name: str | None = None) -> list[ModelVersion]:
        """List the model versions, all or those of a name, oldest record first."""
        return [row for row in self._typed(ModelVersion, "model version") if name is None or row.name == name]

    def model_version(self, model_id: str) -> ModelVersion:
        """Find a model version by its id, the beginning of its id, or its name.

        Raises:
            UnknownNameError: no model or more than one fits; the message lists them.
        """
        return _pick_model(self.model_versions(), model_id)

    def evidence(self, subject: str | None = None, stage: str | None = None) -> list[Evidence]:
        """List evidence in order of sequence: all, about a subject, of a stage."""
        found = self._typed(Evidence, "evidence", subject)
        return [row for row in found if stage is None or row.stage == stage]

    def decisions(self, subject: str | None = None) -> list[Decision]:
        """List decisions in order of sequence: all, or about a subject."""
        return self._typed(Decision, "decision", subject)

    def findings(self) -> list[Finding]:
        """List findings in order of sequence."""
        return self._typed(Finding, "finding")

    def standing(self, model_id: str, data_version: int, criteria: Mapping[str, str]) -> list[Standing]:
        """Say of each piece of evidence about a model, and about the rows it was made of, whether it stands now.

        A verdict rests on all that was written: a row taken away may have been the one that replaced it. So the whole ledger
        is checked as by `verify`, in the transaction that reads it.

        Args:
            model_id: as `model_version` takes it.
            data_version: Delta version in force of the model's data set.
            criteria: digest of the criteria in force, by stage.

        Raises:
            UnknownNameError: the ledger does not know the model or the data version.
            IntegrityError: a row is not as it was written; the message names the first.

        Cost: one pass over all rows, 0.6 s for 10,000 on 2 busy cores.
        """
        with self._reading() as connection:
            rows = [_row(row).record for row in _whole(connection) if row.kind in _STANDING_KINDS]
        model = _pick_model([row for row in rows if isinstance(row, ModelVersion)], model_id)
        versions = {
            row.delta_version: row
            for row in rows
            if isinstance(row, DataVersion) and row.name == model.data_name
        }
        if data_version not in versions:
            known = ", ".join(map(str, sorted(versions))) or "none"
            raise UnknownNameError(f"the ledger knows no {model.data_name}@{data_version}; it has {known}")
        about = [row for row in rows if isinstance(row, Evidence) and is_about(row, model)]
        return decide_standing(about, versions[data_version], criteria)

    def head(self) -> str:
        """Give the digest of the last row, 64 zeros when there is none.

        Whoever keeps it outside the database can prove later, by `verify`, that nothing before it was changed.
        """
        with self._reading() as connection:
            return _last(connection)[1]

    def verify(self, anchor: str | None = None) -> int:
        """Check the whole chain, and that each plan in force is the last one written.

        The chain shows a row that was changed, taken away or put in. Who can write the file can also count the whole chain
        anew, or cut off its end; only a digest kept elsewhere shows that.

        Args:
            anchor: a digest that `head` gave earlier; it must be in the chain.

        Returns:
            The number of rows.

        Raises:
            IntegrityError: the message names the first row that is not as it was written.

        Cost: one pass over all rows, 0.6 s for 10,000 on 2 busy cores.
        """
        with self._reading() as connection:
            rows = _whole(connection)
        if anchor is not None and anchor not in {GENESIS, *(row.sha256 for row in rows)}:
            raise IntegrityError(
                f"no row of the ledger has the digest {anchor}: rows before it were changed or cut off"
            )
        return len(rows)

    def _typed(self, type_: type[R], kind: Kind, subject: str | None = None) -> list[R]:
        return [row.record for row in self.rows(kind, subject) if isinstance(row.record, type_)]

    def _read(self, query: Select[Any]) -> list[Row]:
        with self._reading() as connection:
            found = connection.execute(query).all()
            self._chain.check(connection, found)
        return [_row(row) for row in found]

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._translated(), self._connected(self._reader) as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._translated(), self._connected(self._writer) as connection:
            lock_for_writing(connection)
            yield connection
            connection.commit()
            if self._file is None or self._file.is_at(connection.info[_FILE]):
                return
            self._file.find()
            raise ConflictError(
                f"the ledger {self._shown} was replaced while rows were written to it, and the new file has not got "
                "them; read it again, then decide again"
            )

    @contextmanager
    def _connected(self, engine: Engine) -> Iterator[Connection]:
        """Begin a transaction, on the file that lies at the address now."""
        if self._file is None:
            with engine.connect() as connection:
                yield connection
            return
        while True:
            with self._file.hold() as file, ExitStack() as opened:
                try:
                    if file != self._used:
                        enter_wal(self._engine)
                        self._used = file
                    connection = opened.enter_context(engine.connect())
                except ConflictError:
                    continue
                connection.info[_FILE] = file
                opened.callback(self._leave, connection)
                if not has_tables(connection):
                    raise InputError(f"{self._shown} is no ledger any more: it has no table of records")
                yield connection
                return

    def _leave(self, connection: Connection) -> None:
        """Leave nothing in a side file by the name of a new file's, if the one in use was moved away."""
        if self._file is not None and not self._file.is_at(connection.info[_FILE]):
            connection.rollback()
            with suppress(OperationalError):  # opened for reading alone: it left nothing
                empty_wal(connection)

    @property
    def _shown(self) -> str:
        return self._engine.url.render_as_string(hide_password=True)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            if is_unreachable_file(error):
                if self._file is not None:
                    self._file.find()
                raise InputError(f"cannot write the ledger {self._shown}: {error.orig}") from error
            raise ServiceError(
                f"the ledger {self._shown} does not answer: {error.orig}; try again"
            ) from error
        except DatabaseError as error:
            if is_no_database(error):
                raise InputError(f"{self._shown} is no ledger any more: {error.orig}") from error
            raise


def _whole(connection: Connection) -> Sequence[TableRow[Any]]:
    """Read all rows in order of sequence, and check the whole chain and the plans in force."""
    rows = connection.execute(select(records).order_by(records.c.sequence)).all()
    heads = {row.name: (row.sequence, row.generation) for row in connection.execute(select(plan_heads))}
    check_links(rows, 1, GENESIS)
    check_heads([(row.subject, row.sequence) for row in rows if row.kind == "plan"], heads)
    return rows


def _head_of(connection: Connection, name: str) -> tuple[int, int | None]:
    """Give generation and sequence of the plan in force, 0 and None before the first; it must be the last one written."""
    plans = select(records.c.subject, records.c.sequence).where(
        records.c.kind == "plan", records.c.subject == name
    )
    written = [(row.subject, row.sequence) for row in connection.execute(plans.order_by(records.c.sequence))]
    found = connection.execute(select(plan_heads).where(plan_heads.c.name == name)).one_or_none()
    check_heads(written, {} if found is None else {name: (found.sequence, found.generation)})
    return (0, None) if found is None else (found.generation, found.sequence)


def _pick_model(models: Sequence[ModelVersion], model_id: str) -> ModelVersion:
    """Find a model by its id, the beginning of its id, or its name; see `Ledger.model_version`."""
    known = {row.model_id: row for row in models}
    if model_id in known:
        return known[model_id]
    named = [row for row in known.values() if row.name == model_id]
    fitting = named or [row for row in known.values() if model_id and row.model_id.startswith(model_id)]
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(f"{row.name} ({row.model_id[:12]})" for row in fitting or known.values())
    if fitting:
        raise UnknownNameError(f"{model_id!r} fits {len(fitting)} models: {listed}; give more of the id")
    raise UnknownNameError(f"the ledger knows no model {model_id!r}; it has {listed or 'none'}")


def _last(connection: Connection) -> tuple[int, str]:
    """Give number and digest of the last row."""
    query = select(records.c.sequence, records.c.sha256).order_by(records.c.sequence.desc()).limit(1)
    found = connection.execute(query).one_or_none()
    return (found.sequence, found.sha256) if found is not None else (0, GENESIS)


def _find_cause(connection: Connection, record: Record, cause: str | None) -> int | None:
    """Give the number of the row of this kind that the cause has brought about already."""
    if cause is None:
        return None
    known = select(records.c.sequence).where(records.c.kind == kind_of(record), records.c.cause == cause)
    found = connection.execute(known).scalar()
    return None if found is None else int(found)


def _insert(connection: Connection, record: Record, cause: str | None) -> int:
    last, previous = _last(connection)
    row: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "sequence": last + 1,
        "kind": kind_of(record),
        "subject": subject_of(record),
        "cause": cause,
        "wall_utc": encode_time(datetime.now(UTC)),
        "content": encode_record(record),
        "previous_sha256": previous,
    }
    connection.execute(insert(records).values(**row, sha256=row_sha256(**row)))
    return last + 1


def _row(row: TableRow[Any]) -> Row:
    return Row(
        sequence=row.sequence,
        kind=row.kind,
        subject=row.subject,
        record=decode_record(row.kind, row.content),
        cause=row.cause,
        wall_utc=decode_time(row.wall_utc),
        sha256=row.sha256,
        previous_sha256=row.previous_sha256,
    )
