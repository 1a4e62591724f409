"""Everything the sandbox remembers, in one SQLite file written by one process.

The journal is a write-ahead log synchronised on every commit, so what was answered survives SIGKILL and a power cut.
The file is locked exclusively for the life of the process: two writers would each believe their own clock and ids.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.wire import Json, dump_compact, load

_SCHEMA = """
CREATE TABLE objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    created INTEGER NOT NULL,
    body TEXT NOT NULL,
    private TEXT NOT NULL
);
CREATE INDEX objects_by_kind ON objects (kind, seq);
CREATE TABLE links (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (name, value, seq)
) WITHOUT ROWID;
CREATE INDEX links_by_object ON links (seq, name);
CREATE TABLE timers (id INTEGER PRIMARY KEY, due REAL NOT NULL, act TEXT NOT NULL, subject TEXT NOT NULL);
CREATE INDEX timers_by_due ON timers (due);
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    event TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL
);
CREATE INDEX deliveries_by_due ON deliveries (due);
CREATE INDEX deliveries_by_event ON deliveries (event);
CREATE TABLE answers (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    path TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL,
    body BLOB NOT NULL,
    request_id TEXT NOT NULL,
    created REAL NOT NULL,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE INDEX answers_by_created ON answers (created);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_FAULTS = """
CREATE TABLE faults (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    remaining INTEGER,
    probability REAL NOT NULL,
    seed TEXT NOT NULL,
    seconds REAL NOT NULL,
    drawn INTEGER NOT NULL DEFAULT 0,
    fired INTEGER NOT NULL DEFAULT 0
);
"""
_REORDERING_AND_LISTS = """
ALTER TABLE deliveries ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
CREATE INDEX deliveries_held ON deliveries (endpoint, id) WHERE held;
CREATE INDEX objects_by_creation ON objects (kind, created, seq);
"""
# A file of an earlier version is brought up by the steps that it lacks.
_STEPS = (_SCHEMA, _FAULTS, _REORDERING_AND_LISTS)
# Beyond every sequence number.
_SEQ_END = 2**62


class StateFileError(OSError):
    """The state file cannot be used: another process holds it, or another version wrote it."""


@dataclass(slots=True)
class Record:
    """One object: what the API shows of it, and what only the sandbox knows."""

    kind: str
    id: str
    created: int
    body: Json
    private: Json = field(default_factory=dict)
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which objects of a kind a list holds. A link matches if the object has one of the values under its name."""

    links: Mapping[str, Sequence[str]] = field(default_factory=dict)
    created_from: int | None = None
    created_to: int | None = None


class Store:
    """One connection; every change happens inside `transaction`. Inside it, an object is loaded once and shared.

    Changed objects are written down when something is looked for among them, and at the end: most change several times.
    """

    def __init__(self, path: Path | None) -> None:
        self._loaded: dict[str, Record] = {}
        self._inserted: dict[int, Record] = {}
        self._updated: dict[int, Record] = {}
        self._new_links: list[tuple[str, str, int]] = []
        if path is not None:
            # The file holds webhook secrets, so only its owner may read it.
            path.touch(mode=0o600)
        self.connection = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=0)
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self.connection.close()
            raise StateFileError(f"cannot use the state file {path}: {error}") from error

    def _prepare(self) -> None:
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
            self.connection.execute(f"PRAGMA {pragma}")
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        if version > len(_STEPS):
            raise sqlite3.DatabaseError(f"it was written by version {version}, this is version {len(_STEPS)}")
        missing = "".join(_STEPS[version:])
        self.connection.executescript(f"BEGIN; {missing} PRAGMA user_version = {len(_STEPS)}; COMMIT;")
        (self._seq,) = self.connection.execute("SELECT coalesce(max(seq), 0) FROM objects").fetchone()
        # A reader's first statement takes the exclusive lock only when it writes: claim it now, to fail at the start.
        self.connection.execute("BEGIN EXCLUSIVE")
        self.connection.execute("COMMIT")

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. The loaded objects are forgotten at the end, whichever way it ended."""
        self.connection.execute("BEGIN")
        try:
            yield
            self._flush()
            self.connection.execute("COMMIT")
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        finally:
            for changed in (self._loaded, self._inserted, self._updated, self._new_links):
                changed.clear()

    def insert(self, record: Record, links: Mapping[str, str | None]) -> None:
        # The file is ours alone, so the numbers can be given here. One that was rolled back is not given again.
        self._seq += 1
        record.seq = self._seq
        self._inserted[record.seq] = record
        self._new_links += [(name, value, record.seq) for name, value in links.items() if value is not None]
        self._loaded[record.id] = record

    def update(self, record: Record) -> None:
        if record.seq not in self._inserted:
            self._updated[record.seq] = record

    def _flush(self) -> None:
        """Write down what was changed."""
        if self._inserted:
            self.connection.executemany(
                "INSERT INTO objects (seq, id, kind, created, body, private) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (each.seq, each.id, each.kind, each.created, dump_compact(each.body), dump_compact(each.private))
                    for each in self._inserted.values()
                ],
            )
            self._inserted.clear()
        if self._updated:
            self.connection.executemany(
                "UPDATE objects SET body = ?, private = ? WHERE seq = ?",
                [(dump_compact(each.body), dump_compact(each.private), each.seq) for each in self._updated.values()],
            )
            self._updated.clear()
        if self._new_links:
            self.connection.executemany("INSERT INTO links (name, value, seq) VALUES (?, ?, ?)", self._new_links)
            self._new_links.clear()

    def delete(self, record: Record) -> None:
        self._flush()
        self.connection.execute("DELETE FROM links WHERE seq = ?", (record.seq,))
        self.connection.execute("DELETE FROM objects WHERE seq = ?", (record.seq,))
        self._loaded.pop(record.id, None)

    def link(self, record: Record, name: str, value: str | None) -> None:
        """Set the one value that the object has under this name; None removes it."""
        self._flush()
        self.connection.execute("DELETE FROM links WHERE seq = ? AND name = ?", (record.seq, name))
        if value is not None:
            self.connection.execute("INSERT INTO links (name, value, seq) VALUES (?, ?, ?)", (name, value, record.seq))

    def get(self, object_id: str) -> Record | None:
        if (loaded := self._loaded.get(object_id)) is not None:
            return loaded
        row = self.connection.execute(
            "SELECT kind, id, created, body, private, seq FROM objects WHERE id = ?", (object_id,)
        ).fetchone()
        return None if row is None else self._record(row)

    def find(
        self,
        kind: str,
        criteria: Criteria,
        *,
        limit: int = -1,
        older_than: int | None = None,
        newer_than: int | None = None,
    ) -> list[Record]:
        """Newest first, or oldest first when only what is newer than a sequence number is wanted."""
        self._flush()
        after = max(newer_than or 0, self._last_before(kind, criteria.created_from))
        until = min(older_than or _SEQ_END, self._first_after(kind, criteria.created_to))
        order = "DESC" if newer_than is None else "ASC"
        if criteria.links:
            which, values = _linked(kind, criteria.links, after, until, order, limit)
        else:
            which, values = "kind = ? AND seq > ? AND seq < ?", [kind, after, until]
        rows = self.connection.execute(
            "SELECT kind, id, created, body, private, seq FROM objects "  # noqa: S608 - conditions hold no values
            f"WHERE {which} ORDER BY seq {order} LIMIT ?",
            (*values, limit),
        ).fetchall()
        return [self._loaded.get(row[1]) or self._record(row) for row in rows]

    def _last_before(self, kind: str, created: int | None) -> int:
        """The newest of the kind from before this second. Creation follows `seq`, as the clock never runs backwards."""
        if created is None:
            return 0
        row = self.connection.execute(
            "SELECT seq FROM objects WHERE kind = ? AND created < ? ORDER BY created DESC, seq DESC LIMIT 1",
            (kind, created),
        ).fetchone()
        return 0 if row is None else int(row[0])

    def _first_after(self, kind: str, created: int | None) -> int:
        """The oldest of the kind from after this second."""
        if created is None:
            return _SEQ_END
        row = self.connection.execute(
            "SELECT seq FROM objects WHERE kind = ? AND created > ? ORDER BY created, seq LIMIT 1",
            (kind, created),
        ).fetchone()
        return _SEQ_END if row is None else int(row[0])

    def _record(self, row: tuple[str, str, int, str, str, int]) -> Record:
        kind, object_id, created, body, private, seq = row
        record = Record(kind, object_id, created, load(body), load(private), seq)
        if self.connection.in_transaction:
            self._loaded[object_id] = record
        return record

    def latest_creation(self) -> int:
        """When the newest object was made, 0 if there is none."""
        row = self.connection.execute("SELECT created FROM objects ORDER BY seq DESC LIMIT 1").fetchone()
        return 0 if row is None else int(row[0])

    def link_values(self, name: str) -> list[str]:
        """Every value that objects have under this name."""
        self._flush()
        return [
            str(row[0]) for row in self.connection.execute("SELECT DISTINCT value FROM links WHERE name = ?", (name,))
        ]

    def undelivered(self, event_id: str) -> int:
        """How many endpoints have not yet answered 2xx to the event."""
        (count,) = self.connection.execute(
            "SELECT count(DISTINCT endpoint) FROM deliveries WHERE event = ?", (event_id,)
        ).fetchone()
        return int(count)

    def setting(self, name: str) -> str | None:
        row = self.connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_setting(self, name: str, value: str) -> None:
        self.connection.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, value))


def _linked(
    kind: str, links: Mapping[str, Sequence[str]], after: int, until: int, order: str, limit: int
) -> tuple[str, list[str | int]]:
    """A condition for the objects that have these links; of each value of the first, no more than a page.

    It walks the first link in order and looks the others up: a page costs the same wherever it is, while to sort
    everything that matches would cost more with every object.
    """
    (name, among), *others = links.items()
    also, also_values = "", list[str | int]()
    for other, values in others:
        marks = ", ".join("?" * len(values))
        also += f"AND EXISTS (SELECT 1 FROM links o WHERE o.name = ? AND o.value IN ({marks}) AND o.seq = l.seq) "  # noqa: S608 - only marks
        also_values += [other, *values]
    one = (
        "SELECT seq FROM (SELECT l.seq FROM links l CROSS JOIN objects ON objects.seq = l.seq "  # noqa: S608 - as above
        f"WHERE l.name = ? AND l.value = ? AND objects.kind = ? AND l.seq > ? AND l.seq < ? {also}"
        f"ORDER BY l.seq {order} LIMIT ?)"
    )
    parameters: list[str | int] = []
    for value in among:
        parameters += [name, value, kind, after, until, *also_values, limit]
    return f"seq IN ({' UNION ALL '.join([one] * len(among)) or 'SELECT NULL'})", parameters
