-- The average price of an order's fills is that of their prices: what rounding their cash to the cent left off is kept
-- beside the cash. Row-level security is forced on the owner too, who sees no rows under it.

ALTER TABLE orders NO FORCE ROW LEVEL SECURITY;
ALTER TABLE fills NO FORCE ROW LEVEL SECURITY;

ALTER TABLE orders ADD COLUMN filled_residue numeric NOT NULL DEFAULT 0;

UPDATE orders SET filled_residue = (
    SELECT sum(fills.qty * fills.price - fills.amount) FROM fills
    WHERE fills.generation = orders.generation AND fills.order_id = orders.order_id
) WHERE orders.fills > 0;

ALTER TABLE orders ALTER COLUMN filled_residue DROP DEFAULT;

ALTER TABLE orders FORCE ROW LEVEL SECURITY;
ALTER TABLE fills FORCE ROW LEVEL SECURITY;
