-- The log, its head, the tape, idempotency keys and the erasable words beside the log.
--
-- The tables stand in schema public, so that an unmodified postgres-es repository finds `events`.

-- The tenant of the transaction, NULL when none is set (an unset setting reads as '' after its first use).
CREATE FUNCTION blotter_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('blotter.tenant', true), '')::uuid;

-- The only account that the transaction may see, NULL when it may see all of its tenant.
CREATE FUNCTION blotter_account() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('blotter.account', true), '')::uuid;

-- The tenant of facts that everyone may read; `MARKET_TENANT` in aggregates/src/id.rs.
CREATE FUNCTION blotter_market_tenant() RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '00000000-0000-8000-8000-000000000002'::uuid;

-- Row-level security of a table with columns `tenant_id` and `account_id`, forced on its owner too:
-- readers see their tenant (one account of it when the transaction is restricted to one) and the market;
-- the other roles see every row, as far as their grants go.
CREATE FUNCTION blotter_protect(tenanted regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    role text;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tenanted);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', tenanted);
    EXECUTE format('CREATE POLICY reader ON %s FOR SELECT TO blotter_reader USING (
        tenant_id = blotter_market_tenant()
        OR tenant_id = blotter_tenant() AND (blotter_account() IS NULL OR account_id = blotter_account())
    )', tenanted);
    FOREACH role IN ARRAY ARRAY['writer', 'projector'] LOOP
        EXECUTE format('CREATE POLICY %I ON %s FOR ALL TO %I USING (true) WITH CHECK (true)',
            role, tenanted, 'blotter_' || role);
    END LOOP;
    EXECUTE format('CREATE POLICY auditor ON %s FOR SELECT TO blotter_auditor USING (true)', tenanted);
END
$$;

-- Makes a table a query view: protected, written by the projector alone, read by reader and auditor.
CREATE FUNCTION blotter_query_view(view_table regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM blotter_protect(view_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO blotter_projector', view_table);
    EXECUTE format('GRANT SELECT ON %s TO blotter_reader, blotter_auditor', view_table);
END
$$;

REVOKE ALL ON FUNCTION blotter_protect(regclass), blotter_query_view(regclass) FROM PUBLIC;

CREATE FUNCTION blotter_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: it is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

-- Makes a table append-only for everyone, superusers and replication sessions included. An owner can still
-- switch the triggers off: that is what the checkpoints outside the database are for.
CREATE FUNCTION blotter_append_only(log_table regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON %s
        FOR EACH ROW EXECUTE FUNCTION blotter_refuse_change()', log_table);
    EXECUTE format('CREATE TRIGGER append_only_table BEFORE TRUNCATE ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION blotter_refuse_change()', log_table);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only_rows', log_table);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only_table', log_table);
END
$$;

REVOKE ALL ON FUNCTION blotter_append_only(regclass) FROM PUBLIC;

-- Every fact, for ever. `position` is gapless within a shard and is the global order; `payload` and `metadata`
-- are `json`, not `jsonb`, so that the stored bytes are the hashed bytes.
CREATE TABLE events (
    aggregate_type text COLLATE "C" NOT NULL,
    aggregate_id text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL CONSTRAINT events_sequence_from_one CHECK (sequence >= 1),
    event_type text NOT NULL,
    event_version text NOT NULL,
    payload json NOT NULL,
    metadata json NOT NULL,
    shard smallint NOT NULL,
    position bigint NOT NULL CONSTRAINT events_position_from_one CHECK (position >= 1),
    tenant_id uuid NOT NULL,
    account_id uuid,
    recorded_at timestamptz NOT NULL,
    salt bytea NOT NULL CONSTRAINT events_salt_length CHECK (octet_length(salt) = 16),
    leaf bytea NOT NULL CONSTRAINT events_leaf_length CHECK (octet_length(leaf) = 32),
    CONSTRAINT events_stream PRIMARY KEY (aggregate_type, aggregate_id, sequence),
    CONSTRAINT events_position UNIQUE (shard, position)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.02);

-- One account's history in order, for audit pages and replays of one account.
CREATE INDEX events_account ON events (account_id, position) WHERE account_id IS NOT NULL;

SELECT blotter_protect('events');
SELECT blotter_append_only('events');
GRANT SELECT, INSERT ON events TO blotter_writer;
GRANT SELECT ON events TO blotter_projector, blotter_reader, blotter_auditor;

-- Where the log and the tape end, and who may append: every append compares this row and moves it. `frontier`
-- is that of the Merkle tree over the leaves.
CREATE TABLE ledger_head (
    shard smallint PRIMARY KEY,
    position bigint NOT NULL CONSTRAINT ledger_head_position CHECK (position >= 0),
    tape_place bigint NOT NULL CONSTRAINT ledger_head_tape_place CHECK (tape_place >= 0),
    epoch bigint NOT NULL CONSTRAINT ledger_head_epoch CHECK (epoch >= 0),
    frontier bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    owner text,
    owner_url text,
    lease_until timestamptz
) WITH (fillfactor = 10);

INSERT INTO ledger_head (shard, position, tape_place, epoch, frontier, recorded_at)
    VALUES (0, 0, 0, 0, '', '-infinity'::timestamptz);

GRANT SELECT, UPDATE ON ledger_head TO blotter_writer;
GRANT SELECT ON ledger_head TO blotter_projector, blotter_reader, blotter_auditor;

-- Idempotency keys of orders, kept for ever: the hash of tenant, scope and key, the fingerprint of the request
-- and the id that its answer is found by.
CREATE TABLE order_keys (
    key uuid PRIMARY KEY,
    fingerprint bigint NOT NULL,
    outcome uuid NOT NULL
);

GRANT SELECT, INSERT ON order_keys TO blotter_writer;
GRANT SELECT ON order_keys TO blotter_auditor;

-- Idempotency keys of other requests, dropped after 24 hours.
CREATE TABLE request_keys (
    key uuid PRIMARY KEY,
    fingerprint bigint NOT NULL,
    outcome uuid NOT NULL,
    position bigint NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX request_keys_made_at ON request_keys (made_at);

GRANT SELECT, INSERT, DELETE ON request_keys TO blotter_writer;
GRANT SELECT ON request_keys TO blotter_auditor;

-- Every tick that the engine worked, in blocks of compressed lines; places are gapless within a shard.
-- `lines` is deflate-compressed newline-delimited JSON, `digest` the SHA-256 of the uncompressed bytes.
CREATE TABLE tape (
    shard smallint NOT NULL,
    first_place bigint NOT NULL CONSTRAINT tape_place_from_one CHECK (first_place >= 1),
    last_place bigint NOT NULL CONSTRAINT tape_block_not_empty CHECK (last_place >= first_place),
    lines bytea NOT NULL,
    digest bytea NOT NULL CONSTRAINT tape_digest_length CHECK (octet_length(digest) = 32),
    CONSTRAINT tape_first_place PRIMARY KEY (shard, first_place),
    CONSTRAINT tape_last_place UNIQUE (shard, last_place)
);

ALTER TABLE tape ALTER COLUMN lines SET STORAGE EXTERNAL;

SELECT blotter_append_only('tape');
GRANT SELECT, INSERT ON tape TO blotter_writer;
GRANT SELECT ON tape TO blotter_auditor;

-- Words of people stand beside the log and can be erased; the log holds their digests.
CREATE TABLE account_names (
    account_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    name text NOT NULL
);

CREATE TABLE order_notes (
    order_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    note text NOT NULL
);

SELECT blotter_protect('account_names');
SELECT blotter_protect('order_notes');
GRANT SELECT, INSERT, DELETE ON account_names, order_notes TO blotter_writer;
GRANT SELECT ON account_names, order_notes TO blotter_reader, blotter_auditor;
