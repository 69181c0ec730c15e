-- How far the limit of a trailing stop limit is beyond the stop that triggers it, and the price from which on a trailing
-- order follows the market. No order had either before this.

ALTER TABLE orders ADD COLUMN limit_offset numeric, ADD COLUMN activation_price numeric;
