-- What the reader's policy compares with is found once a statement and not once a row.
CREATE OR REPLACE FUNCTION blotter_protect(tenanted regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    role text;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tenanted);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', tenanted);
    EXECUTE format('CREATE POLICY reader ON %s FOR SELECT TO blotter_reader USING (
        tenant_id = (SELECT blotter_market_tenant())
        OR tenant_id = (SELECT blotter_tenant())
            AND ((SELECT blotter_account()) IS NULL OR account_id = (SELECT blotter_account()))
    )', tenanted);
    FOREACH role IN ARRAY ARRAY['writer', 'projector'] LOOP
        EXECUTE format('CREATE POLICY %I ON %s FOR ALL TO %I USING (true) WITH CHECK (true)',
            role, tenanted, 'blotter_' || role);
    END LOOP;
    EXECUTE format('CREATE POLICY auditor ON %s FOR SELECT TO blotter_auditor USING (true)', tenanted);
END
$$;

DO $$
DECLARE
    tenanted regclass;
BEGIN
    FOR tenanted IN SELECT polrelid FROM pg_policy WHERE polname = 'reader' LOOP
        EXECUTE format('ALTER POLICY reader ON %s USING (
            tenant_id = (SELECT blotter_market_tenant())
            OR tenant_id = (SELECT blotter_tenant())
                AND ((SELECT blotter_account()) IS NULL OR account_id = (SELECT blotter_account()))
        )', tenanted);
    END LOOP;
END
$$;

-- Functions whose plan a session keeps: one in SQL is planned again at each call.
CREATE OR REPLACE FUNCTION blotter_generation(group_name text) RETURNS integer LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN (SELECT generation FROM projections WHERE name = group_name AND active);
END
$$;

CREATE OR REPLACE FUNCTION blotter_market_tenant() RETURNS uuid LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN '00000000-0000-8000-8000-000000000002'::uuid;
END
$$;
