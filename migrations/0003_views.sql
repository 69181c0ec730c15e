-- The query views: what projectors fold from the log, and how far each has come.
--
-- Every view table has a generation in its key: a rebuild fills the next one beside the one that is read, and one
-- update of `projections` switches. Amounts are `numeric`, exact; times of the market are whole microseconds.

-- How far each group of views has come. Readers use the row that is active.
CREATE TABLE projections (
    name text NOT NULL,
    generation integer NOT NULL,
    position bigint NOT NULL DEFAULT 0 CONSTRAINT projections_position CHECK (position >= 0),
    status text NOT NULL CONSTRAINT projections_status CHECK (status IN ('live', 'building', 'stopped', 'retired')),
    active boolean NOT NULL DEFAULT false,
    error text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT projections_generation PRIMARY KEY (name, generation),
    CONSTRAINT projections_active_is_in_use CHECK (NOT active OR status IN ('live', 'stopped'))
) WITH (fillfactor = 50);

CREATE UNIQUE INDEX projections_one_active ON projections (name) WHERE active;

INSERT INTO projections (name, generation, status, active) VALUES
    ('trading', 1, 'live', true), ('books', 1, 'live', true),
    ('market', 1, 'live', true), ('snapshots', 1, 'live', true);

GRANT SELECT, INSERT, UPDATE, DELETE ON projections TO blotter_projector;
GRANT SELECT ON projections TO blotter_writer, blotter_reader, blotter_auditor;

-- The generation of a group that is read.
CREATE FUNCTION blotter_generation(group_name text) RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (SELECT generation FROM projections WHERE name = group_name AND active);

-- Group trading -----------------------------------------------------------------------------------------------

CREATE TABLE accounts (
    generation integer NOT NULL,
    account_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    kind text NOT NULL,
    option_level smallint NOT NULL,
    trading_state text NOT NULL,
    policy jsonb NOT NULL,
    cash numeric NOT NULL,
    reserved numeric NOT NULL,
    opened_at timestamptz NOT NULL,
    opened_position bigint NOT NULL,
    sequence bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (generation, account_id)
);

CREATE INDEX accounts_by_tenant ON accounts (generation, tenant_id, opened_position);

CREATE TABLE orders (
    generation integer NOT NULL,
    order_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    instrument_id uuid NOT NULL,
    symbol text NOT NULL,
    side text NOT NULL,
    order_type text NOT NULL,
    qty numeric NOT NULL,
    limit_price numeric,
    stop_price numeric,
    trail jsonb,
    time_in_force text NOT NULL,
    extended_hours boolean NOT NULL,
    order_class text NOT NULL,
    client_order_id text COLLATE "C" NOT NULL,
    parent_order_id uuid,
    status text NOT NULL,
    open boolean NOT NULL,
    revision integer NOT NULL,
    fills integer NOT NULL,
    filled_qty numeric NOT NULL,
    filled_amount numeric NOT NULL,
    fees numeric NOT NULL,
    reject jsonb,
    cancel_reason text,
    expiry_reason text,
    expires_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    triggered_at timestamptz,
    replaced_at timestamptz,
    filled_at timestamptz,
    canceled_at timestamptz,
    expired_at timestamptz,
    created_position bigint NOT NULL,
    sequence bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (generation, order_id)
) WITH (fillfactor = 80);

CREATE INDEX orders_by_account ON orders (generation, account_id, created_position DESC);
CREATE INDEX orders_open ON orders (generation, account_id, created_position DESC) WHERE open;
CREATE UNIQUE INDEX orders_by_client_id ON orders (generation, account_id, client_order_id);

CREATE TABLE fills (
    generation integer NOT NULL,
    fill_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    order_id uuid NOT NULL,
    instrument_id uuid NOT NULL,
    symbol text NOT NULL,
    side text NOT NULL,
    n integer NOT NULL,
    qty numeric NOT NULL,
    price numeric NOT NULL,
    amount numeric NOT NULL,
    fees numeric NOT NULL,
    revision integer NOT NULL,
    evidence jsonb NOT NULL,
    at timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (generation, fill_id)
);

CREATE INDEX fills_by_order ON fills (generation, order_id, n);

CREATE TABLE positions (
    generation integer NOT NULL,
    account_id uuid NOT NULL,
    instrument_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    symbol text NOT NULL,
    qty numeric NOT NULL,
    reserved_qty numeric NOT NULL,
    reservations jsonb NOT NULL,
    cost_basis numeric NOT NULL,
    realized_pl numeric NOT NULL,
    opened_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (generation, account_id, instrument_id)
) WITH (fillfactor = 80);

CREATE TABLE lots (
    generation integer NOT NULL,
    lot_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    instrument_id uuid NOT NULL,
    qty numeric NOT NULL,
    cost numeric NOT NULL,
    opened_at timestamptz NOT NULL,
    opened_position bigint NOT NULL,
    PRIMARY KEY (generation, lot_id)
);

CREATE INDEX lots_by_position ON lots (generation, account_id, instrument_id, opened_position);

CREATE TABLE activities (
    generation integer NOT NULL,
    position bigint NOT NULL,
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    activity_type text NOT NULL,
    instrument_id uuid,
    symbol text,
    side text,
    qty numeric,
    price numeric,
    net_amount numeric NOT NULL,
    order_id uuid,
    fill_id uuid,
    action_id text,
    at timestamptz NOT NULL,
    PRIMARY KEY (generation, position)
);

CREATE INDEX activities_by_account ON activities (generation, account_id, position DESC);

-- Group books -------------------------------------------------------------------------------------------------

-- One entry for each event that moved cash, shares or a claim; its position is the event's.
CREATE TABLE journal_entries (
    generation integer NOT NULL,
    position bigint NOT NULL,
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    event_type text NOT NULL,
    instrument_id uuid,
    order_id uuid,
    fill_id uuid,
    action_id text,
    at timestamptz,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (generation, position)
);

CREATE INDEX journal_entries_by_account ON journal_entries (generation, account_id, position DESC);

-- What an entry moves: into a book (above zero) or out of it. `instrument_id` NULL is cash, in US dollars.
-- Books of the account: available, reserved, dividends_due, shares, shares_reserved.
-- Books of the world, which hold the other side: external, market, fees, issuers.
CREATE TABLE journal_postings (
    generation integer NOT NULL,
    position bigint NOT NULL,
    line smallint NOT NULL,
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    book text NOT NULL CONSTRAINT journal_postings_book CHECK (book IN (
        'available', 'reserved', 'dividends_due', 'shares', 'shares_reserved',
        'external', 'market', 'fees', 'issuers')),
    instrument_id uuid,
    amount numeric NOT NULL CONSTRAINT journal_postings_amount CHECK (amount <> 0),
    PRIMARY KEY (generation, position, line)
);

CREATE INDEX journal_postings_by_book ON journal_postings (generation, account_id, book, instrument_id)
    INCLUDE (amount);

-- Every entry sums to zero in each unit. A statement writes whole entries, so that it can be checked at its end.
CREATE FUNCTION blotter_journal_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unbalanced bigint;
BEGIN
    SELECT position INTO unbalanced FROM added GROUP BY generation, position, instrument_id
        HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'journal entry % does not sum to zero', unbalanced USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER journal_balances AFTER INSERT ON journal_postings
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION blotter_journal_balances();

-- What each open sell has set aside: the journal needs it to know what a fill takes out of which book.
CREATE TABLE share_reservations (
    generation integer NOT NULL,
    account_id uuid NOT NULL,
    instrument_id uuid NOT NULL,
    order_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    qty numeric NOT NULL,
    PRIMARY KEY (generation, account_id, instrument_id, order_id)
);

DO $$
DECLARE
    view_table regclass;
BEGIN
    FOREACH view_table IN ARRAY ARRAY['accounts', 'orders', 'fills', 'positions', 'lots', 'activities',
        'journal_entries', 'journal_postings', 'share_reservations']::regclass[]
    LOOP
        PERFORM blotter_query_view(view_table);
    END LOOP;
END
$$;

-- Group market: facts for everyone, so without tenants --------------------------------------------------------

CREATE TABLE instruments (
    generation integer NOT NULL,
    instrument_id uuid NOT NULL,
    symbol text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    halted boolean NOT NULL,
    halt_reason text,
    splitting text,
    last_session date,
    last_close numeric,
    listed_at timestamptz,
    sequence bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (generation, instrument_id)
);

CREATE INDEX instruments_by_symbol ON instruments (generation, symbol);

CREATE TABLE official_closes (
    generation integer NOT NULL,
    instrument_id uuid NOT NULL,
    session date NOT NULL,
    price numeric NOT NULL,
    source text NOT NULL,
    at timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (generation, instrument_id, session)
);

CREATE TABLE corporate_actions (
    generation integer NOT NULL,
    instrument_id uuid NOT NULL,
    action_id text NOT NULL,
    kind text NOT NULL,
    numerator numeric,
    denominator numeric,
    amount numeric,
    ex date,
    pay date,
    stage text NOT NULL,
    at timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (generation, instrument_id, action_id)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON instruments, official_closes, corporate_actions TO blotter_projector;
GRANT SELECT ON instruments, official_closes, corporate_actions
    TO blotter_writer, blotter_reader, blotter_auditor;

-- Group snapshots: aggregates as they were at a sequence, for starting without reading the log from its start --

-- At the checkpoint of the group every open order, every instrument and every writer is here and live; accounts
-- and positions are here once they have grown. `digest` is the SHA-256 of the schema version and the state.
CREATE TABLE snapshots (
    generation integer NOT NULL,
    aggregate_type text COLLATE "C" NOT NULL,
    aggregate_id text COLLATE "C" NOT NULL,
    account_id uuid,
    sequence bigint NOT NULL,
    position bigint NOT NULL,
    schema_version integer NOT NULL,
    live boolean NOT NULL,
    state text NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (generation, aggregate_type, aggregate_id)
) WITH (fillfactor = 80);

CREATE INDEX snapshots_live ON snapshots (generation, aggregate_type) WHERE live;

GRANT SELECT, INSERT, UPDATE, DELETE ON snapshots TO blotter_projector;
GRANT SELECT ON snapshots TO blotter_writer, blotter_auditor;
