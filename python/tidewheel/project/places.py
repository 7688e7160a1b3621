"""On which line of a TOML text each key stands: `tomllib` reads the values and forgets the places.

What belongs here: a small scan of a text that `tomllib` has accepted. What does not: refusing a text (`tomllib` does) and
the words of errors (`project.wording`). Properties in the tests hold what it finds against `tomllib`.
"""

import re
import tomllib
from bisect import bisect_right

Place = tuple[str, ...]
"""Keys from the top of the file down; the number of an entry of a list as text."""

_BLANK = re.compile(r"(?:[ \t\n\r]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")' r"|'''.*?'{3,5}(?!')" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'", re.DOTALL
)
# A date and a time may have a blank between them; every other plain value ends at one.
_PLAIN = re.compile(r"\d{4}-\d\d-\d\d[ Tt]\d\d:[^\s,\]}#]*|[^\s,\]}#]+")


def find_places(text: str) -> dict[Place, int]:
    r"""Give the line, from 1, of every table, key and list entry.

    A table that is only implied ("a" where the text has `[a.b]`) stands where it is first implied.

    Args:
        text: what `tomllib.loads` accepts; of any other text the answer is not defined.

    Cost:
        One pass over the text.

    Example:
        >>> find_places("[a]\nb = [10,\n  20]")
        {('a',): 1, ('a', 'b'): 2, ('a', 'b', '0'): 2, ('a', 'b', '1'): 3}
    """
    scan = _Scan(text.replace("\r\n", "\n"))
    scan.document()
    return scan.places


def nearest_line(places: dict[Place, int], where: Place) -> int | None:
    """Give the line of `where`, or of the nearest table around it; None when not even that is in the file.

    Example:
        >>> nearest_line({("a",): 1, ("a", "b"): 2}, ("a", "missing"))
        1
    """
    inside = (where[:length] for length in range(len(where), 0, -1))
    return next((places[place] for place in inside if place in places), None)


class _Scan:
    """Walk once over a text, one method for each form that TOML has, and note where things stand."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.places: dict[Place, int] = {}
        self._ends = [found.start() for found in re.finditer("\n", text)]
        self._implied: set[Place] = set()
        self._last_entry: dict[Place, int] = {}

    def document(self) -> None:
        table: Place = ()
        while not self._ahead("", blank=True):
            if self._ahead("["):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Place:
        line, brackets = self._line(), "[[" if self._ahead("[[") else "["
        self.at += len(brackets)
        *outer, last = self._key()
        self._ahead("]", blank=True)
        self.at += len(brackets)
        place: Place = ()
        for part in outer:
            place = (*place, part)
            self._imply(place, line)
            if place in self._last_entry:
                place = (*place, str(self._last_entry[place]))
        place = (*place, last)
        if brackets == "[":
            self._note(place, line)
            return place
        self.places.setdefault(place, line)
        self._last_entry[place] = self._last_entry.get(place, -1) + 1
        entry = (*place, str(self._last_entry[place]))
        self._note(entry, line)
        return entry

    def _pair(self, table: Place) -> None:
        line = self._line()
        *outer, last = self._key()
        for part in outer:
            table = (*table, part)
            self._imply(table, line)
        self._note((*table, last), line)
        self._ahead("=", blank=True)
        self.at += 1
        self._value((*table, last))

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._ahead("", blank=True)
            if self._ahead('"') or self._ahead("'"):
                parts.append(str(tomllib.loads(f"key = {self._take(_STRING)}")["key"]))
            else:
                parts.append(self._take(_BARE_KEY))
            if not self._ahead(".", blank=True):
                return parts
            self.at += 1

    def _value(self, place: Place) -> None:
        self._ahead("", blank=True)
        if self._ahead("["):
            self._list(place)
        elif self._ahead("{"):
            self._inline_table(place)
        else:
            self._take(_STRING if self._ahead('"') or self._ahead("'") else _PLAIN)

    def _list(self, place: Place) -> None:
        self.at += 1
        n_entries = 0
        while not self._ahead("]", blank=True):
            entry = (*place, str(n_entries))
            self._note(entry, self._line())
            self._value(entry)
            n_entries += 1
            self._comma()
        self.at += 1

    def _inline_table(self, place: Place) -> None:
        self.at += 1
        while not self._ahead("}", blank=True):
            self._pair(place)
            self._comma()
        self.at += 1

    def _comma(self) -> None:
        if self._ahead(",", blank=True):
            self.at += 1

    def _ahead(self, mark: str, *, blank: bool = False) -> bool:
        """Say whether `mark` comes next, after blanks and comments if so asked; "" is the end of the text."""
        if blank:
            self._take(_BLANK)
        return self.text.startswith(mark, self.at) if mark else self.at >= len(self.text)

    def _take(self, form: re.Pattern[str]) -> str:
        found = form.match(self.text, self.at)
        if found is None:
            raise AssertionError(f"tomllib accepted what the scan does not know, at character {self.at}")
        self.at = found.end()
        return found[0]

    def _line(self) -> int:
        return bisect_right(self._ends, self.at - 1) + 1

    def _note(self, place: Place, line: int) -> None:
        """Note what is written out; it takes the place of what was only implied before."""
        if place not in self.places or place in self._implied:
            self.places[place] = line

    def _imply(self, place: Place, line: int) -> None:
        if place not in self.places:
            self.places[place] = line
            self._implied.add(place)
