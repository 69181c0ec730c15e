-- The mark that a trailing stop had when it was triggered. Before that it is the engine's, and in no row.

ALTER TABLE orders ADD COLUMN hwm numeric;
