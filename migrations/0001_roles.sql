-- Who may touch what: one role for each part of the server, so that a fault in one part cannot reach
-- further than that part's rights. Roles belong to the cluster and outlive a database: creating one that is
-- there already is not an error, also when two databases are migrated at the same moment.
--
-- They cannot log in: the server reaches them by SET ROLE. On its own private cluster it gives them LOGIN.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY[
        'blotter_migrator',   -- owns every table, is not used at run time
        'blotter_writer',     -- the sequencer and the engine: appends to log and tape
        'blotter_projector',  -- writes query views
        'blotter_reader',     -- every request of a user, under row-level security
        'blotter_auditor'     -- reads everything, writes nothing
    ] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
    EXECUTE format('GRANT blotter_migrator TO %I', current_user);
END
$$;

GRANT USAGE, CREATE ON SCHEMA public TO blotter_migrator;
GRANT USAGE ON SCHEMA public TO blotter_writer, blotter_projector, blotter_reader, blotter_auditor;
