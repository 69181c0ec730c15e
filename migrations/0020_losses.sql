-- What the losses of an account are counted from. No account had limits on them before this.

ALTER TABLE accounts ADD COLUMN losses jsonb;
