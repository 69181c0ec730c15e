-- What an order, a fill and a position have of options: of one contract what it is, of an order of several legs each of
-- them. No order had any before this.

ALTER TABLE orders ADD COLUMN position_intent text, ADD COLUMN contract jsonb, ADD COLUMN legs jsonb;
ALTER TABLE fills ADD COLUMN legs jsonb;
ALTER TABLE positions ADD COLUMN contract jsonb, ADD COLUMN do_not_exercise boolean NOT NULL DEFAULT false;
ALTER TABLE positions ALTER COLUMN do_not_exercise DROP DEFAULT;
