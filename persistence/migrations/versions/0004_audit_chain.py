"""The audit chain: every entry is linked to the one before by its hash, and none can be changed."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLES = """
ALTER TABLE audit_entries ALTER COLUMN transaction_id DROP NOT NULL;

ALTER TABLE audit_entries ADD CONSTRAINT ck_audit_entries_action CHECK (action ~ '^[a-z0-9_.]+$');

CREATE TABLE audit_heads (
    chain SMALLINT NOT NULL,
    length BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    CONSTRAINT pk_audit_heads PRIMARY KEY (chain)
);

CREATE TABLE audit_links (
    chain SMALLINT NOT NULL,
    position BIGINT NOT NULL,
    entry_id UUID NOT NULL,
    hash BYTEA NOT NULL,
    CONSTRAINT pk_audit_links PRIMARY KEY (chain, position)
);

INSERT INTO audit_heads SELECT chain, 0, decode(repeat('00', 32), 'hex') FROM generate_series(0, 15) AS chain
"""

# No field before the last can hold a line break, so that no two entries have the same text.
_HASH = r"""
CREATE FUNCTION audit_hash(previous bytea, chain smallint, place bigint, entry audit_entries) RETURNS bytea
LANGUAGE sql STABLE AS $$
    SELECT sha256(previous || convert_to(concat_ws(E'\n',
        chain, place, entry.id, entry.number, coalesce(entry.transaction_id::text, ''), entry.action, entry.actor_kind,
        coalesce(entry.actor_id::text, ''), (extract(epoch FROM entry.at) * 1000000)::bigint, entry.details
    ), 'UTF8'))
$$
"""

# The number of the database transaction chooses the chain: those that commit at the same time wait for each other only
# where there are more of them than chains, and none ever holds two. The trigger is deferred to the commit, so that
# nothing else is waited for once a chain is held, and no client that has stopped can hold one.
_LINK = """
CREATE FUNCTION link_audit_entry() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    WITH head AS (
        UPDATE audit_heads AS h SET length = h.length + 1, hash = audit_hash(h.hash, h.chain, h.length + 1, NEW)
        WHERE h.chain = pg_current_xact_id()::text::bigint % 16
        RETURNING h.chain, h.length, h.hash
    )
    INSERT INTO audit_links (chain, position, entry_id, hash) SELECT chain, length, NEW.id, hash FROM head;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'an audit chain has lost its head';
    END IF;
    RETURN NULL;
END
$$
"""

# Whoever may only insert entries runs this with the rights of the tables' owner, so it must find nobody else's tables.
_SEARCH_PATH = """
DO $$ BEGIN
    EXECUTE format(
        'ALTER FUNCTION link_audit_entry() SET search_path = pg_catalog, %I, pg_temp', current_schema()
    );
END $$
"""

# The heads are written once in the end: a row that one transaction updates for every entry becomes slower each time.
_LINK_WHAT_IS_THERE = """
DO $$
DECLARE
    entry audit_entries;
    mine smallint;
    lengths bigint[] := array_fill(0::bigint, ARRAY[16]);
    hashes bytea[] := array_fill(decode(repeat('00', 32), 'hex'), ARRAY[16]);
BEGIN
    FOR entry IN SELECT * FROM audit_entries ORDER BY number LOOP
        mine := entry.number % 16;
        lengths[mine + 1] := lengths[mine + 1] + 1;
        hashes[mine + 1] := audit_hash(hashes[mine + 1], mine, lengths[mine + 1], entry);
        INSERT INTO audit_links VALUES (mine, lengths[mine + 1], entry.id, hashes[mine + 1]);
    END LOOP;
    UPDATE audit_heads SET length = lengths[chain + 1], hash = hashes[chain + 1];
END
$$
"""

_TRIGGERS = (
    """
CREATE CONSTRAINT TRIGGER link AFTER INSERT ON audit_entries DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION link_audit_entry()
""",
    """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: rows are only ever added to it', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$
""",
    """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
""",
    """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_links
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
""",
    """
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON audit_heads
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
""",
)


def upgrade() -> None:
    # Nobody may add an entry between the linking of those that are there and the trigger that links the next.
    op.execute("LOCK TABLE audit_entries IN SHARE ROW EXCLUSIVE MODE")
    for statement in _TABLES.split(";\n"):
        op.execute(statement)
    for statement in (_HASH, _LINK, _SEARCH_PATH, _LINK_WHAT_IS_THERE, *_TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
