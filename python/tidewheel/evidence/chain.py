"""The chain of the ledger's rows: each is as it was written, and follows from the one before it.

Who can write the file can count the whole chain anew up to its end, or cut off its end; only a digest kept elsewhere shows
that (`Ledger.head`, `Ledger.verify`). Everything less breaks a link between two rows, and is found here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy import Row as TableRow

from tidewheel.errors import IntegrityError
from tidewheel.evidence.canonical import FORMAT_VERSION, row_sha256
from tidewheel.evidence.schema import records


class Chain:
    """Check rows that were read, and remember the digests of those found whole: later reads walk over new rows alone.

    Safe to use from several threads: what is remembered is replaced as one, and only saves work. A digest stands for its
    row whatever file that is read from, so nothing has to be forgotten when the ledger's file is replaced.
    """

    def __init__(self) -> None:
        self._remembered: tuple[int, tuple[str, ...]] = (1, ())
        """Number of the first row that is remembered, and the digests from it on."""

    def check(self, connection: Connection, found: Sequence[TableRow[Any]]) -> None:
        """Check that rows are as they were written, and that an unbroken chain leads from the first to the ledger's last.

        Args:
            connection: the transaction in which they were read, so that no writer comes between.
            found: rows in order of sequence.

        Raises:
            IntegrityError: the message names the first row that is not as it was written.

        Cost: one pass over the rows from the first of `found` on, 0.5 s for 10,000 on 2 busy cores; later over new rows.
        """
        if found and not self._check_new(connection, found):
            rows = _rows_from(connection, found[0].sequence)
            check_links(rows, found[0].sequence, found[0].previous_sha256)
            self._remembered = (found[0].sequence, tuple(row.sha256 for row in rows))

    def _check_new(self, connection: Connection, found: Sequence[TableRow[Any]]) -> bool:
        """Check rows by what is remembered; False if that does not reach back to them, or is not what the ledger says."""
        first, digests = self._remembered
        last = first + len(digests) - 1
        old = [row for row in found if row.sequence <= last]
        if not digests or any(
            row.sequence < first or row.sha256 != digests[row.sequence - first] for row in old
        ):
            return False
        rows = _rows_from(connection, last)
        if not rows or rows[0].sha256 != digests[-1]:
            return False
        for row in old:
            check_digest(row)
        check_links(rows[1:], last + 1, digests[-1])
        if len(rows) > 1:
            self._remembered = (first, digests + tuple(row.sha256 for row in rows[1:]))
        return True


def check_links(rows: Sequence[TableRow[Any]], first: int, previous_sha256: str) -> None:
    """Check that rows are whole, have the numbers from `first` on, and that each names the digest of the one before it.

    Raises:
        IntegrityError: the message names the first row that is not as it was written.
    """
    for sequence, row in enumerate(rows, start=first):
        if row.sequence != sequence:
            raise IntegrityError(f"row {sequence} of the ledger is missing; row {row.sequence} follows")
        check_digest(row)
        if row.previous_sha256 != previous_sha256:
            raise IntegrityError(f"row {sequence} of the ledger does not follow from row {sequence - 1}")
        previous_sha256 = row.sha256


def check_digest(row: TableRow[Any]) -> None:
    """Check that a row has the digest that it says.

    Raises:
        IntegrityError: it has another one, or its format is newer than this version of Tidewheel.
    """
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


def check_heads(plans: Sequence[tuple[str, int]], heads: Mapping[str, tuple[int, int]]) -> None:
    """Check that what is in force of each name is the last plan that was written, and how many there are.

    Args:
        plans: name and sequence of each plan, in order of sequence.
        heads: sequence and generation of the plan in force, by name.

    Raises:
        IntegrityError: the message names the plan, and both rows.
    """
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


def _rows_from(connection: Connection, first: int) -> Sequence[TableRow[Any]]:
    query = select(records).where(records.c.sequence >= first).order_by(records.c.sequence)
    return connection.execute(query).all()
