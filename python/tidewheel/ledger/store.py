"""The ledger: every version, verdict, decision and plan in the order in which it was written, each row chained to the last.

What belongs here: writing and reading rows, the plan's compare-and-swap, checking the chain. What does not: what the records
mean (`ledger.records`), how they are written as text (`ledger.canonical`), the tables (`ledger.schema`), and every decision.

Many processes use one ledger at once: flows, replicas, commands. A write is one short transaction that excludes other
writers and never readers; a process killed at any moment leaves either the whole row or nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, insert, select, update
from sqlalchemy import Row as TableRow
from sqlalchemy.exc import DatabaseError, OperationalError

from tidewheel.errors import ConflictError, InputError, IntegrityError, ServiceError, UnknownNameError
from tidewheel.ledger.canonical import (
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
from tidewheel.ledger.records import DataVersion, Decision, Evidence, Finding, ModelVersion, Plan, Record
from tidewheel.ledger.schema import (
    BEGIN_OPTION,
    create_tables,
    enter_wal,
    has_tables,
    is_unreachable_file,
    lock_for_writing,
    make_engine,
    parse_address,
    plan_heads,
    records,
)
from tidewheel.ledger.standing import Standing, decide_standing, is_about

R = TypeVar("R", bound=Record)


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

    Every row is checked against its own digest when it is read, so that a decision never rests on a row that was changed in
    place. Whether the chain as a whole holds, `verify` says.

    Example:
        >>> at = datetime(2013, 6, 1, tzinfo=UTC)
        >>> with Ledger.open("sqlite://") as ledger:  # in memory; give the path of a file to keep it
        ...     first = ledger.append(Decision("deploy", "a1", "deploy flow", "first model", at))
        ...     plan = ledger.swap_plan(Plan("flights", 1, champion="a1"), expected_generation=0)
        ...     print(first, plan.generation, ledger.verify())
        1 1 2
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # The lock is taken when the transaction begins: one that reads first and asks for it later may lose all its work.
        self._writer = engine.execution_options(**{BEGIN_OPTION: "BEGIN IMMEDIATE"})

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
        ledger = cls(make_engine(url))
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
        """
        stored = replace(plan, generation=expected_generation + 1)
        mine = plan_heads.c.name == plan.name
        with self._writing() as connection:
            current = connection.execute(select(plan_heads.c.generation).where(mine)).scalar() or 0
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
        """Give the plan in force, or None before the first one."""
        joined = select(records).join(plan_heads, plan_heads.c.sequence == records.c.sequence)
        found = self._read(joined.where(plan_heads.c.name == name))
        plan = found[0].record if found else None
        return plan if isinstance(plan, Plan) else None

    def rows(self, kind: Kind | None = None, subject: str | None = None) -> list[Row]:
        """List rows in order of sequence: all of them, those of a kind, those about a subject.

        Raises:
            IntegrityError: a row was changed since it was written.
        """
        query = select(records).order_by(records.c.sequence)
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
        known = {row.model_id: row for row in self.model_versions()}
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

        Args:
            model_id: as `model_version` takes it.
            data_version: Delta version in force of the model's data set.
            criteria: digest of the criteria in force, by stage.

        Raises:
            UnknownNameError: the ledger does not know the model or the data version.
        """
        model = self.model_version(model_id)
        versions = {row.delta_version: row for row in self.data_versions(model.data_name)}
        if data_version not in versions:
            known = ", ".join(map(str, sorted(versions))) or "none"
            raise UnknownNameError(f"the ledger knows no {model.data_name}@{data_version}; it has {known}")
        about = [row for row in self.evidence() if is_about(row, model)]
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

        Cost:
            One pass over all rows.
        """
        with self._reading() as connection:
            rows = connection.execute(select(records).order_by(records.c.sequence)).all()
            heads = {
                row.name: (row.sequence, row.generation) for row in connection.execute(select(plan_heads))
            }
        previous = GENESIS
        for sequence, row in enumerate(rows, start=1):
            if row.sequence != sequence:
                raise IntegrityError(f"row {sequence} of the ledger is missing; row {row.sequence} follows")
            _check_digest(row)
            if row.previous_sha256 != previous:
                raise IntegrityError(f"row {sequence} of the ledger does not follow from row {sequence - 1}")
            previous = row.sha256
        _check_heads([(row.subject, row.sequence) for row in rows if row.kind == "plan"], heads)
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
        return [_row(row) for row in found]

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _translated(self._engine), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with _translated(self._engine), self._writer.begin() as connection:
            lock_for_writing(connection)
            yield connection


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        shown = engine.url.render_as_string(hide_password=True)
        if is_unreachable_file(error):
            raise InputError(f"cannot write the ledger {shown}: {error.orig}") from error
        raise ServiceError(f"the ledger {shown} does not answer: {error.orig}; try again") from error


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


def _check_digest(row: TableRow[Any]) -> None:
    if row.format_version > FORMAT_VERSION:
        raise IntegrityError(
            f"row {row.sequence} of the ledger has format {row.format_version}; "
            f"this Tidewheel reads up to {FORMAT_VERSION}: use a newer one"
        )
    said = {key: value for key, value in row._mapping.items() if key != "sha256"}
    if row_sha256(**said) != row.sha256:
        raise IntegrityError(
            f"row {row.sequence} of the ledger ({row.kind} of {row.subject!r}) was changed after it was written"
        )


def _check_heads(plans: Sequence[tuple[str, int]], heads: Mapping[str, tuple[int, int]]) -> None:
    """Hold what is in force against the plans that were written: the last of each name, and how many there are."""
    none: tuple[int | None, int] = (None, 0)
    written: dict[str, tuple[int, int]] = {}
    for name, sequence in plans:
        written[name] = (sequence, written.get(name, none)[1] + 1)
    for name in sorted(written.keys() | heads.keys()):
        (last, generation), (current, said) = written.get(name, none), heads.get(name, none)
        if current != last:
            raise IntegrityError(
                f"the plan in force of {name!r} is row {current}; the last one written is row {last}"
            )
        if said != generation:
            raise IntegrityError(
                f"the plan in force of {name!r} is at generation {said}; the last one written is {generation}"
            )


def _row(row: TableRow[Any]) -> Row:
    _check_digest(row)
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
