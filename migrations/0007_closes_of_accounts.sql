-- What an account was worth at its last close is found from its end, without a pass over its whole journal or over all
-- closes of the market.

CREATE INDEX journal_entries_resets ON journal_entries (generation, account_id, position)
    WHERE event_type IN ('AccountReset', 'PositionReset');

CREATE INDEX official_closes_by_session ON official_closes (generation, session);
