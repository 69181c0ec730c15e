-- A fill of an mleg order is one activity a leg, numbered from 1; what is no leg has 0. The end of an option has its word, and
-- the price of one that was sold or settled in cash. Row-level security is forced on the owner too, who sees no rows under it.

ALTER TABLE activities NO FORCE ROW LEVEL SECURITY;
ALTER TABLE fills NO FORCE ROW LEVEL SECURITY;
ALTER TABLE positions NO FORCE ROW LEVEL SECURITY;
ALTER TABLE events NO FORCE ROW LEVEL SECURITY;

ALTER TABLE activities ADD COLUMN leg smallint NOT NULL DEFAULT 0, ADD COLUMN option_end text;
ALTER TABLE activities DROP CONSTRAINT activities_pkey;
ALTER TABLE activities ADD CONSTRAINT activities_pkey PRIMARY KEY (position, leg, generation);

INSERT INTO activities (generation, position, leg, tenant_id, account_id, activity_type, instrument_id, symbol, side,
    qty, price, net_amount, order_id, fill_id, at)
SELECT whole.generation, whole.position, numbered.leg, whole.tenant_id, whole.account_id, whole.activity_type,
    (told ->> 'instrument_id')::uuid, told ->> 'symbol', intent.side, (told ->> 'qty')::numeric,
    (told ->> 'price')::numeric,
    CASE intent.side WHEN 'buy' THEN - (told ->> 'amount')::numeric ELSE (told ->> 'amount')::numeric END,
    whole.order_id, whole.fill_id, whole.at
FROM activities AS whole
JOIN fills USING (generation, fill_id)
CROSS JOIN LATERAL jsonb_array_elements(fills.legs) WITH ORDINALITY AS numbered (told, leg)
CROSS JOIN LATERAL (SELECT split_part(told ->> 'position_intent', '_', 1)) AS intent (side)
WHERE whole.activity_type = 'FILL';

DELETE FROM activities AS whole USING fills
WHERE fills.generation = whole.generation AND fills.fill_id = whole.fill_id AND fills.legs IS NOT NULL
    AND whole.activity_type = 'FILL' AND whole.leg = 0;

UPDATE activities SET option_end = told.how, price = CASE told.how
    WHEN 'sold_out' THEN (told.body #>> '{bid,price}')::numeric
    WHEN 'cash_settled' THEN told.intrinsic
    WHEN 'paid_out' THEN coalesce((told.body #>> '{mark,price}')::numeric, told.intrinsic)
    END
FROM (
    SELECT positions.generation, ended.position, body, body ->> 'how' AS how,
        greatest(0, ((body ->> 'settlement_price')::numeric - (contract ->> 'strike')::numeric)
            * CASE contract ->> 'right' WHEN 'call' THEN 1 ELSE -1 END) AS intrinsic
    FROM events AS ended
    CROSS JOIN LATERAL (SELECT ended.payload::jsonb -> 'OptionEnded' AS body) AS parsed
    JOIN positions ON ended.aggregate_id = positions.account_id || '/' || positions.instrument_id
    WHERE ended.event_type = 'OptionEnded'
) AS told
WHERE activities.position = told.position AND activities.generation = told.generation;

ALTER TABLE activities ALTER COLUMN leg DROP DEFAULT;

ALTER TABLE activities FORCE ROW LEVEL SECURITY;
ALTER TABLE fills FORCE ROW LEVEL SECURITY;
ALTER TABLE positions FORCE ROW LEVEL SECURITY;
ALTER TABLE events FORCE ROW LEVEL SECURITY;
