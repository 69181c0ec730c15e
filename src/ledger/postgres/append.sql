-- Appends one batch, or nothing: every part hangs on the head row being where the writer believes it to be.
-- $1 shard, $2 epoch, $3 $4 expected position and tape place, $5 $6 $7 $8 the head after it, $9 lease in seconds.
WITH head AS (
    UPDATE ledger_head
    SET position = $5, tape_place = $6, frontier = $7, recorded_at = $8,
        lease_until = clock_timestamp() + make_interval(secs => $9)
    WHERE shard = $1 AND epoch = $2 AND position = $3 AND tape_place = $4
    RETURNING shard, position
), appended AS (
    INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, shard,
        position, tenant_id, account_id, recorded_at, salt, leaf)
    SELECT row.aggregate_type, row.aggregate_id, row.sequence, row.event_type, row.event_version, row.payload::json,
        row.metadata::json, head.shard, $3 + row.n, row.tenant_id, row.account_id, $8, row.salt, row.leaf
    FROM head, unnest($10::text[], $11::text[], $12::bigint[], $13::text[], $14::text[], $15::text[], $16::text[],
        $17::uuid[], $18::uuid[], $19::bytea[], $20::bytea[]) WITH ORDINALITY
        AS row (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, tenant_id,
            account_id, salt, leaf, n)
), taped AS (
    INSERT INTO tape (shard, first_place, last_place, lines, digest)
    SELECT head.shard, block.first_place, block.last_place, block.lines, block.digest
    FROM head, unnest($21::bigint[], $22::bigint[], $23::bytea[], $24::bytea[])
        AS block (first_place, last_place, lines, digest)
), lasting AS (
    INSERT INTO order_keys (key, fingerprint, outcome)
    SELECT used.key, used.fingerprint, used.outcome
    FROM head, unnest($25::uuid[], $26::bigint[], $27::uuid[]) AS used (key, fingerprint, outcome)
), passing AS (
    INSERT INTO request_keys (key, fingerprint, outcome, position)
    SELECT used.key, used.fingerprint, used.outcome, used.position
    FROM head, unnest($28::uuid[], $29::bigint[], $30::uuid[], $31::bigint[])
        AS used (key, fingerprint, outcome, position)
)
SELECT pg_notify('blotter_head', head.position::text) FROM head
