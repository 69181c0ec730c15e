-- What moved in each account, summed by the hour of market time: what an account held at a close is found from what it
-- holds now by the hours since then, however many entries they had.

-- `hour` counts whole hours since 1970: each holds what moved after the hour before it and up to itself, so that closes,
-- which are at whole hours, fall between two. The least bigint is for what moved before the market had a time. `unit` is
-- an instrument, or zero for cash. Of other units than cash there are rows that are not zero alone; of cash there is one of
-- each hour in which an event names a time or a fill. What an account moved before it began again is not here.
CREATE TABLE movements (
    generation integer NOT NULL,
    account_id uuid NOT NULL,
    hour bigint NOT NULL,
    unit uuid NOT NULL,
    tenant_id uuid NOT NULL,
    held numeric NOT NULL,
    paid_in numeric NOT NULL,
    PRIMARY KEY (account_id, hour, unit, generation)
) WITH (fillfactor = 80);

-- Filled from the log, each generation as far as it has come. The money of a fill has the time of its order's event; what
-- names no time that of the latest before it. Row-level security is forced on the owner too, who sees no rows under it.
ALTER TABLE events NO FORCE ROW LEVEL SECURITY;

INSERT INTO movements (generation, account_id, hour, unit, tenant_id, held, paid_in)
WITH told AS (
    SELECT position, tenant_id, account_id, event_type, payload::jsonb -> event_type AS body,
        CASE aggregate_type WHEN 'position' THEN split_part(aggregate_id, '/', 2)::uuid
            ELSE '00000000-0000-0000-0000-000000000000' END AS unit
    FROM events
    WHERE shard = 0 AND event_type IN ('OrderFilled', 'CashDeposited', 'CashWithdrawn', 'FillSettled', 'FeeCharged',
        'DividendPaid', 'CashPaidInLieu', 'OptionSettled', 'AccountReset', 'PositionOpened', 'PositionIncreased',
        'PositionReduced', 'PositionClosed', 'OptionEnded', 'SharesDelivered', 'ContractAdjusted',
        'AdjustedContractOpened', 'PositionSplit', 'DividendAccrued', 'PositionReset')
), facts AS (
    SELECT position, tenant_id, account_id, event_type, unit, (body ->> 'at')::timestamptz AS at,
        (body ->> 'fill_id')::uuid AS fill_id,
        CASE
            WHEN event_type IN ('CashDeposited', 'FillSettled', 'DividendPaid', 'CashPaidInLieu', 'OptionSettled')
                THEN (body ->> 'amount')::numeric
            WHEN event_type IN ('CashWithdrawn', 'FeeCharged') THEN -(body ->> 'amount')::numeric
            WHEN event_type IN ('PositionOpened', 'PositionIncreased', 'PositionReduced', 'PositionClosed',
                    'OptionEnded', 'SharesDelivered')
                THEN CASE body ->> 'side' WHEN 'buy' THEN 1 ELSE -1 END * (body ->> 'qty')::numeric
            WHEN event_type = 'ContractAdjusted' THEN -(body ->> 'qty')::numeric
            WHEN event_type = 'AdjustedContractOpened' THEN (body ->> 'position_qty')::numeric
            WHEN event_type = 'PositionSplit'
                THEN (body ->> 'position_qty')::numeric - (body ->> 'qty_before')::numeric
            ELSE 0 END AS held,
        CASE event_type WHEN 'CashDeposited' THEN (body ->> 'amount')::numeric
            WHEN 'CashWithdrawn' THEN -(body ->> 'amount')::numeric ELSE 0 END AS paid_in,
        CASE event_type
            WHEN 'AccountReset' THEN (body ->> 'amount')::numeric <> 0 OR (body ->> 'released')::numeric <> 0
            WHEN 'PositionReset' THEN (body ->> 'qty')::numeric <> 0 OR (body ->> 'reserved_qty')::numeric <> 0
                OR (body ->> 'dividends_due')::numeric <> 0
            ELSE false END AS begins
    FROM told
), moves AS (
    SELECT generation, moved.position, moved.tenant_id, moved.account_id, moved.unit, moved.held, moved.paid_in,
        moved.begins, coalesce(moved.at, filled.at) AS at
    FROM projections
    JOIN facts AS moved ON moved.position <= projections.position
    LEFT JOIN facts AS filled ON filled.fill_id = moved.fill_id AND filled.event_type = 'OrderFilled'
    WHERE name = 'trading' AND status <> 'retired' AND moved.event_type <> 'OrderFilled'
), begun AS (
    SELECT generation, account_id, max(position) AS position FROM moves WHERE begins GROUP BY 1, 2
), hours AS (
    SELECT moves.*, coalesce(
        ceil(extract(epoch FROM coalesce(
            at, max(at) OVER (PARTITION BY generation, account_id ORDER BY moves.position))) / 3600)::bigint,
        -9223372036854775808) AS hour
    FROM moves LEFT JOIN begun USING (generation, account_id)
    WHERE moves.position >= coalesce(begun.position, 0)
), parts AS (
    SELECT generation, account_id, hour, unit, tenant_id, held, paid_in FROM hours
    UNION ALL
    SELECT generation, account_id, hour, '00000000-0000-0000-0000-000000000000', tenant_id, 0, 0 FROM hours
)
SELECT generation, account_id, hour, unit, tenant_id, trim_scale(sum(held)), trim_scale(sum(paid_in)) FROM parts
GROUP BY 1, 2, 3, 4, 5
HAVING sum(held) <> 0 OR sum(paid_in) <> 0
    OR unit = '00000000-0000-0000-0000-000000000000' AND hour > -9223372036854775808;

ALTER TABLE events FORCE ROW LEVEL SECURITY;

SELECT blotter_query_view('movements');
