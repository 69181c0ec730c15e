-- Indexes of views begin with what is looked up. All rows that are served have the same generation: an index that begins
-- with it finds all of a table for it, and a session that planned while the table was empty took such an index for as good as any,
-- and kept it. Of indexes that seem as good the planner takes the one that was made last: so keys are made last, and what is
-- unique before them.
DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT index.indrelid::regclass AS of_table, index.indexrelid::regclass AS name,
            pg_get_indexdef(index.indexrelid) AS definition, bound.conname,
            regexp_replace(pg_get_constraintdef(bound.oid), '\(generation, ([^)]*)\)', '(\1, generation)') AS key
        FROM pg_index AS index
        JOIN pg_attribute AS first ON first.attrelid = index.indrelid AND first.attnum = index.indkey[0]
        LEFT JOIN pg_constraint AS bound ON bound.conindid = index.indexrelid AND bound.contype = 'p'
        WHERE first.attname = 'generation' AND index.indnkeyatts > 1
        ORDER BY index.indisprimary, index.indisunique, index.indexrelid
    LOOP
        IF old.conname IS NULL THEN
            EXECUTE format('DROP INDEX %s', old.name);
            EXECUTE regexp_replace(old.definition, '\(generation, ([^)]*)\)', '(\1, generation)');
        ELSE
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', old.of_table, old.conname);
            EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', old.of_table, old.conname, old.key);
        END IF;
    END LOOP;
END
$$;
