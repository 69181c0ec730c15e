-- The part of the server that knows users: their addresses and secrets are its alone. Made as in 0001_roles.sql.
DO $$
BEGIN
    CREATE ROLE blotter_identity NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$;

GRANT USAGE ON SCHEMA public TO blotter_identity;
