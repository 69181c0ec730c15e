-- Who may act: users, sessions, tokens and grants as they are now, strongly consistent, and read by blotter_identity
-- alone. Secrets are kept as hashes; what tells of a person stands here and nowhere else, so that it can be erased.

-- Makes a table one of identity: row-level security is on and forced, and one role passes it.
CREATE FUNCTION blotter_identity_table(identity_table regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', identity_table);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', identity_table);
    EXECUTE format('CREATE POLICY identity ON %s FOR ALL TO blotter_identity USING (true) WITH CHECK (true)',
        identity_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO blotter_identity', identity_table);
END
$$;

REVOKE ALL ON FUNCTION blotter_identity_table(regclass) FROM PUBLIC;

-- `email` is normalised.
CREATE TABLE users (
    user_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL CONSTRAINT users_tenant UNIQUE,
    email text COLLATE "C" NOT NULL CONSTRAINT users_email UNIQUE,
    password_hash text NOT NULL,
    state text NOT NULL CONSTRAINT users_state CHECK (state IN ('active', 'disabled')),
    created_at timestamptz NOT NULL,
    CONSTRAINT users_of_tenant UNIQUE (tenant_id, user_id)
);

CREATE INDEX users_by_age ON users (created_at, user_id);

-- Codes that let one person register each.
CREATE TABLE invitations (
    code_hash bytea PRIMARY KEY CONSTRAINT invitations_hash CHECK (octet_length(code_hash) = 32),
    made_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

-- The browser or program that logged in.
CREATE TABLE clients (
    client_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    user_agent text NOT NULL,
    address text NOT NULL,
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, user_id) ON DELETE CASCADE
);

CREATE INDEX clients_of_user ON clients (tenant_id, user_id);

CREATE TABLE sessions (
    session_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    idle_until timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT sessions_of_tenant UNIQUE (tenant_id, session_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, user_id) ON DELETE CASCADE
);

CREATE INDEX sessions_of_user ON sessions (tenant_id, user_id);
CREATE INDEX sessions_by_end ON sessions (idle_until) WHERE ended_at IS NULL;

-- Refresh tokens by their SHA-256: of each session one is active, and one that is shown after it was used ends it.
CREATE TABLE refresh_tokens (
    hash bytea PRIMARY KEY CONSTRAINT refresh_tokens_hash CHECK (octet_length(hash) = 32),
    tenant_id uuid NOT NULL,
    session_id uuid NOT NULL,
    state text NOT NULL CONSTRAINT refresh_tokens_state CHECK (state IN ('active', 'used')),
    made_at timestamptz NOT NULL,
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, session_id) ON DELETE CASCADE
);

CREATE INDEX refresh_tokens_of_session ON refresh_tokens (tenant_id, session_id);
CREATE UNIQUE INDEX refresh_tokens_one_active ON refresh_tokens (tenant_id, session_id) WHERE state = 'active';

-- Personal access tokens by their SHA-256. `accounts` is NULL for all that the user reaches.
CREATE TABLE tokens (
    token_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    name text NOT NULL,
    hash bytea NOT NULL CONSTRAINT tokens_hash UNIQUE CHECK (octet_length(hash) = 32),
    scopes text[] NOT NULL,
    accounts uuid[],
    limits jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    first_used_at timestamptz,
    last_used_at timestamptz,
    halted_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT tokens_of_tenant UNIQUE (tenant_id, token_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, user_id) ON DELETE CASCADE
);

CREATE INDEX tokens_of_user ON tokens (tenant_id, user_id, created_at);

-- What a token has ordered on a day of New York, at worst cost.
CREATE TABLE token_days (
    tenant_id uuid NOT NULL,
    token_id uuid NOT NULL,
    day date NOT NULL,
    notional numeric NOT NULL CONSTRAINT token_days_notional CHECK (notional >= 0),
    PRIMARY KEY (tenant_id, token_id, day),
    FOREIGN KEY (tenant_id, token_id) REFERENCES tokens (tenant_id, token_id) ON DELETE CASCADE
);

-- Roles of users on accounts of other tenants; `tenant_id` is the account's.
CREATE TABLE grants (
    grant_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role text NOT NULL CONSTRAINT grants_role CHECK (role IN ('owner', 'trader', 'viewer', 'auditor')),
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);

CREATE UNIQUE INDEX grants_one_live ON grants (tenant_id, account_id, user_id) WHERE revoked_at IS NULL;
CREATE INDEX grants_of_user ON grants (user_id) WHERE revoked_at IS NULL;

-- Failed tries by the SHA-256 of who or whence. Kept here so that they survive a restart and count everywhere.
CREATE TABLE throttles (
    key_hash bytea PRIMARY KEY CONSTRAINT throttles_hash CHECK (octet_length(key_hash) = 32),
    failures integer NOT NULL CONSTRAINT throttles_failures CHECK (failures > 0),
    last_at timestamptz NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX throttles_by_age ON throttles (last_at);

-- The public halves of the keys that sign access tokens, so that every process verifies what any of them signed.
CREATE TABLE access_keys (
    kid text PRIMARY KEY,
    public_key text NOT NULL,
    made_at timestamptz NOT NULL,
    not_after timestamptz
);

-- What is void before its time: every process reads the last of these many times a second. Kept for an hour, which is
-- longer than an access token lives.
CREATE TABLE revocations (
    revocation_id bigserial PRIMARY KEY,
    tenant_id uuid NOT NULL,
    kind text NOT NULL CONSTRAINT revocations_kind CHECK (kind IN ('user', 'session', 'token', 'grant')),
    subject uuid NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX revocations_by_age ON revocations (made_at);

-- Facts on their way to the log: written in the transaction that made them true, deleted when they are recorded.
CREATE TABLE identity_facts (
    id bigserial PRIMARY KEY,
    tenant_id uuid NOT NULL,
    user_id uuid,
    account_id uuid,
    origin jsonb NOT NULL,
    body jsonb NOT NULL,
    fact_id uuid NOT NULL CONSTRAINT identity_facts_once UNIQUE,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT identity_facts_of_one CHECK ((user_id IS NULL) <> (account_id IS NULL))
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

SELECT blotter_identity_table(identity_table) FROM unnest(ARRAY['users', 'invitations', 'clients', 'sessions',
    'refresh_tokens', 'tokens', 'token_days', 'grants', 'throttles', 'access_keys', 'revocations',
    'identity_facts']::regclass[]) identity_table;

GRANT USAGE ON SEQUENCE revocations_revocation_id_seq, identity_facts_id_seq TO blotter_identity;

-- Where the log ends, which an answer to a change tells.
GRANT SELECT ON ledger_head TO blotter_identity;

-- Forgetting a user takes the words of their tenant along.
CREATE POLICY identity_reads ON account_names FOR SELECT TO blotter_identity USING (true);
CREATE POLICY identity_erases ON account_names FOR DELETE TO blotter_identity USING (true);
CREATE POLICY identity_reads ON order_notes FOR SELECT TO blotter_identity USING (true);
CREATE POLICY identity_erases ON order_notes FOR DELETE TO blotter_identity USING (true);
GRANT SELECT, DELETE ON account_names, order_notes TO blotter_identity;

CREATE INDEX account_names_of_tenant ON account_names (tenant_id);
CREATE INDEX order_notes_of_tenant ON order_notes (tenant_id);
