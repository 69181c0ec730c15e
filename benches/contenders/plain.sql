-- The tables of an unmodified postgres-es 0.5, and a copy of ours for the bulk contenders.
ALTER ROLE blotter_writer LOGIN;
ALTER ROLE blotter_projector LOGIN;
CREATE TABLE plain_events (
    aggregate_type text NOT NULL,
    aggregate_id text NOT NULL,
    sequence bigint CHECK (sequence >= 0) NOT NULL,
    event_type text NOT NULL,
    event_version text NOT NULL,
    payload json NOT NULL,
    metadata json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
);
CREATE TABLE plain_snapshots (
    aggregate_type text,
    aggregate_id text,
    last_sequence bigint,
    current_snapshot bigint,
    payload json,
    PRIMARY KEY (aggregate_type, aggregate_id, last_sequence)
);
CREATE TABLE bulk_events (LIKE events INCLUDING ALL);
