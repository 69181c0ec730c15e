-- Which prices trigger an order's stop. No order had a stop before this.

ALTER TABLE orders ADD COLUMN trigger_by text;
