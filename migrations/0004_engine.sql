-- The engine's checkpoint: its state after a place of the tape and a position of the log. It only makes starts
-- faster: without it, log and tape are folded from the beginning.
CREATE TABLE engine_checkpoints (
    shard smallint PRIMARY KEY,
    version integer NOT NULL,
    position bigint NOT NULL,
    tape_place bigint NOT NULL,
    state text NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON engine_checkpoints TO blotter_writer;
