-- Dollars that an order buys for in place of a quantity. No order had them before this.

ALTER TABLE orders ADD COLUMN notional numeric;
