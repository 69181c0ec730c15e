-- An option that did not trade in a session closes at the middle of its last quote in it. No close was of a quote before this.

ALTER TABLE official_closes ADD COLUMN quoted_at timestamptz;
