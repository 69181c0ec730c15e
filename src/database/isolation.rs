//! Whether the database keeps tenants apart: its catalogue is read at each start, and a server does not start on one
//! that breaks a rule.
//!
//! Guarantees: a table, view, policy, rule, function, trigger, right or role through which a request could read rows of
//! another tenant, or any part of the running server change the log, is named before anything is served. It guards
//! against a migration that forgot a rule and a hand that changed one; whoever owns the database can also lie to it,
//! which is what the checkpoints outside the database are for. Costs one round trip and a few milliseconds.

use std::fmt;

use sqlx::PgConnection;

use super::DatabaseError;

/// What breaks the rules, each with what it is and what it should be.
#[derive(Debug, PartialEq, Eq)]
pub struct Violations(Vec<String>);

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// The one way in which a request may see a row, as Postgres writes it; `blotter_protect` in `0016_cheaper_reads.sql` makes it.
const SEEN_BY_READERS: &str = "((tenant_id = ( SELECT blotter_market_tenant() AS blotter_market_tenant)) \
    OR ((tenant_id = ( SELECT blotter_tenant() AS blotter_tenant)) \
    AND ((( SELECT blotter_account() AS blotter_account) IS NULL) \
    OR (account_id = ( SELECT blotter_account() AS blotter_account)))))";

/// What requests may read of that belongs to no tenant: where log and views end, and facts of the market.
const SHARED: &[&str] =
    &["ledger_head", "projections", "tape", "instruments", "official_closes", "corporate_actions"];

/// Who may act, with secrets and personal data: for one role alone.
const IDENTITY: &[&str] = &[
    "users",
    "invitations",
    "clients",
    "sessions",
    "refresh_tokens",
    "tokens",
    "token_days",
    "grants",
    "throttles",
    "access_keys",
    "revocations",
    "identity_facts",
];

/// Words of people beside the log, which identity erases with them.
const WORDS: &[&str] = &["account_names", "order_notes"];

/// What nobody changes or deletes.
const APPEND_ONLY: &[&str] = &["events", "tape"];

/// What policies and triggers call: its name, its volatility and its body, as Postgres writes it on one line.
const FUNCTIONS: [[&str; 3]; 4] = [
    [
        "blotter_tenant()",
        "s",
        "RETURN (NULLIF(current_setting('blotter.tenant'::text, true), ''::text))::uuid",
    ],
    [
        "blotter_account()",
        "s",
        "RETURN (NULLIF(current_setting('blotter.account'::text, true), ''::text))::uuid",
    ],
    [
        "blotter_market_tenant()",
        "i",
        "BEGIN RETURN '00000000-0000-8000-8000-000000000002'::uuid; END",
    ],
    [
        "blotter_refuse_change()",
        "v",
        "BEGIN RAISE EXCEPTION '% on % is refused: it is append-only', TG_OP, TG_TABLE_NAME \
         USING ERRCODE = 'insufficient_privilege'; END",
    ],
];

/// Each row is a sentence about something that breaks a rule; what an extension brings holds no row of ours. $1 is how readers see rows, $2 are the
/// shared tables, $3 the append-only ones, $4 those of identity, $5 the words that identity erases, $6 to $8 names,
/// volatilities and bodies of functions.
const CATALOGUE: &str = "
WITH roles AS (
    SELECT oid, rolname FROM pg_roles
    WHERE rolname IN ('blotter_writer', 'blotter_projector', 'blotter_reader', 'blotter_identity', 'blotter_auditor')
), extensions AS (
    SELECT objid, classid FROM pg_depend WHERE deptype = 'e'
), relations AS (
    SELECT c.oid, c.relname, c.relkind, c.relowner, c.relrowsecurity AND c.relforcerowsecurity AS forced,
        coalesce('security_invoker=true' = ANY (c.reloptions), false) AS invoker,
        EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id'
            AND NOT a.attisdropped) AS tenanted
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND (c.oid, 'pg_class'::regclass) NOT IN (SELECT objid, classid FROM extensions)
), elsewhere AS (
    SELECT oid, nspname FROM pg_namespace
    WHERE nspname NOT IN ('public', 'pg_catalog', 'information_schema') AND nspname !~ '^pg_(toast|temp)'
), rights AS (
    SELECT r.oid AS role, r.rolname, c.oid, c.relname, c.relkind, c.relrowsecurity, letter, privilege
    FROM roles r CROSS JOIN (SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace) c
    CROSS JOIN (VALUES ('r', 'SELECT'), ('a', 'INSERT'), ('w', 'UPDATE'), ('d', 'DELETE')) AS v (letter, privilege)
    WHERE c.relkind IN ('r', 'p') AND CASE WHEN privilege = 'DELETE' THEN has_table_privilege(r.oid, c.oid, privilege)
        ELSE has_any_column_privilege(r.oid, c.oid, privilege) END
)
SELECT format('role %s has to be without %s', rolname, concat_ws(', ',
        CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolbypassrls THEN 'BYPASSRLS' END,
        CASE WHEN rolcreaterole THEN 'CREATEROLE' END, CASE WHEN rolcreatedb THEN 'CREATEDB' END,
        CASE WHEN rolreplication THEN 'REPLICATION' END))
    FROM pg_roles WHERE (oid IN (SELECT oid FROM roles) OR rolname = 'blotter_migrator')
        AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)
UNION ALL
SELECT format('role %s has to be no member of %s', r.rolname, m.roleid::regrole)
    FROM roles r JOIN pg_auth_members m ON m.member = r.oid
UNION ALL
SELECT format('%s belongs to %s and has to belong to blotter_migrator', relname, relowner::regrole)
    FROM relations WHERE relowner <> 'blotter_migrator'::regrole
        AND (tenanted OR relname = ANY ($2 || $3 || $4 || $5) OR relowner IN (SELECT oid FROM roles))
UNION ALL
SELECT format('role %s has to be without CREATE on the schema public', rolname)
    FROM roles WHERE has_schema_privilege(oid, 'public', 'CREATE')
UNION ALL
SELECT format('%s has rows of tenants and has to FORCE ROW LEVEL SECURITY', relname)
    FROM relations WHERE relkind IN ('r', 'p') AND tenanted AND NOT forced
UNION ALL
SELECT format('%s is of identity and has to FORCE ROW LEVEL SECURITY', relname)
    FROM relations WHERE relname = ANY ($4) AND NOT tenanted AND NOT forced
UNION ALL
SELECT format('%s is of identity and is open to %s', c.relname, r.rolname)
    FROM relations c CROSS JOIN roles r
    WHERE c.relname = ANY ($4) AND r.rolname <> 'blotter_identity'
        AND (has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE')
            OR has_table_privilege(r.oid, c.oid, 'DELETE'))
UNION ALL
SELECT format('the policy %s on %s is of identity and has to be for blotter_identity alone', p.polname, c.relname)
    FROM pg_policy p JOIN relations c ON c.oid = p.polrelid
    WHERE c.relname = ANY ($4) AND p.polroles <> ARRAY['blotter_identity'::regrole::oid]
UNION ALL
SELECT format('%s has no column tenant_id and is read by requests', c.relname)
    FROM relations c JOIN roles r ON r.rolname = 'blotter_reader'
    WHERE c.relkind NOT IN ('v', 'm') AND NOT c.tenanted AND c.relname <> ALL ($2)
        AND has_any_column_privilege(r.oid, c.oid, 'SELECT')
UNION ALL
SELECT format('the policy %s on %s lets requests see more than the rows of their tenant, account and market',
        p.polname, c.relname)
    FROM pg_policy p JOIN relations c ON c.oid = p.polrelid
    WHERE p.polroles && ARRAY[0::oid, 'blotter_reader'::regrole::oid] AND p.polpermissive
        AND (p.polcmd <> 'r' OR 0 = ANY (p.polroles)
            OR regexp_replace(pg_get_expr(p.polqual, p.polrelid), '\\s+', ' ', 'g') <> $1)
UNION ALL
SELECT format('the view %s has to be made WITH (security_invoker = true)', relname)
    FROM relations WHERE relkind = 'v' AND NOT invoker
UNION ALL
SELECT format('%s is a %s, whose rows no policy protects, and is read by %s', c.relname,
        CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END, r.rolname)
    FROM relations c CROSS JOIN roles r
    WHERE c.relkind IN ('m', 'f') AND has_any_column_privilege(r.oid, c.oid, 'SELECT')
UNION ALL
SELECT format('role %s has to be granted %s on %s', r.rolname, v.privilege, c.relname)
    FROM relations c CROSS JOIN roles r
    CROSS JOIN (VALUES ('r', 'SELECT'), ('a', 'INSERT'), ('w', 'UPDATE'), ('d', 'DELETE')) AS v (letter, privilege)
    WHERE CASE r.rolname
            WHEN 'blotter_writer' THEN c.relname = ANY ($3) AND v.privilege IN ('SELECT', 'INSERT')
            WHEN 'blotter_projector' THEN false
            ELSE r.rolname = 'blotter_reader' AND c.relname = ANY ($2) AND v.privilege = 'SELECT'
                OR EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND r.oid = ANY (p.polroles)
                    AND p.polcmd::text IN ('*', v.letter)) END
        AND NOT CASE v.privilege WHEN 'DELETE' THEN has_table_privilege(r.oid, c.oid, v.privilege)
            ELSE has_any_column_privilege(r.oid, c.oid, v.privilege) END
UNION ALL
SELECT format('the function %s is SECURITY DEFINER without a fixed search_path', p.oid::regprocedure)
    FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
        AND (p.oid, 'pg_proc'::regclass) NOT IN (SELECT objid, classid FROM extensions)
        AND NOT EXISTS (SELECT FROM unnest(p.proconfig) setting WHERE setting LIKE 'search_path=%')
UNION ALL
SELECT format('%s may %s %s', r.rolname, privilege, c.relname)
    FROM roles r CROSS JOIN relations c CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE',
        'REFERENCES', 'TRIGGER']) privilege
    WHERE CASE WHEN privilege IN ('INSERT', 'UPDATE', 'REFERENCES')
            THEN has_any_column_privilege(r.oid, c.oid, privilege)
            ELSE has_table_privilege(r.oid, c.oid, privilege) END
        AND (r.rolname IN ('blotter_reader', 'blotter_auditor') OR privilege IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')
            OR r.rolname = 'blotter_identity' AND c.relname <> ALL ($4)
                AND NOT (c.relname = ANY ($5) AND privilege = 'DELETE')
            OR c.relname = ANY ($3) AND (r.rolname <> 'blotter_writer' OR privilege <> 'INSERT'))
UNION ALL
SELECT format('role %s has to be without CREATE on the database', rolname)
    FROM roles WHERE has_database_privilege(oid, current_database(), 'CREATE')
UNION ALL
SELECT format('%s.%s is in a schema of nobody''s and is open to %s', n.nspname, c.relname, r.rolname)
    FROM pg_class c JOIN elsewhere n ON n.oid = c.relnamespace CROSS JOIN roles r
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND (c.oid, 'pg_class'::regclass) NOT IN (SELECT objid, classid FROM extensions)
        AND has_schema_privilege(r.oid, n.oid, 'USAGE')
        AND has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE')
UNION ALL
SELECT format('the function %s is SECURITY DEFINER and is open to %s', p.oid::regprocedure, r.rolname)
    FROM pg_proc p CROSS JOIN roles r
    WHERE p.prosecdef AND (p.oid, 'pg_proc'::regclass) NOT IN (SELECT objid, classid FROM extensions)
        AND (p.pronamespace = 'public'::regnamespace OR p.pronamespace IN (SELECT oid FROM elsewhere))
        AND has_function_privilege(r.oid, p.oid, 'EXECUTE') AND has_schema_privilege(r.oid, p.pronamespace, 'USAGE')
UNION ALL
SELECT format('the function %s has to be what the migrations make', f.name)
    FROM unnest($6, $7, $8) AS f (name, volatility, body)
    WHERE NOT EXISTS (SELECT FROM pg_proc p WHERE p.oid = to_regprocedure('public.' || f.name)
        AND NOT p.prosecdef AND p.proconfig IS NULL AND p.provolatile::text = f.volatility
        AND trim(regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), '\\s+', ' ', 'g')) = f.body)
UNION ALL
SELECT format('the policy %s on %s is RESTRICTIVE and hides rows', p.polname, c.relname)
    FROM pg_policy p JOIN relations c ON c.oid = p.polrelid WHERE NOT p.polpermissive
UNION ALL
SELECT format('%s has no policy by which %s may %s its rows', a.relname, a.rolname, a.privilege)
    FROM rights a WHERE a.relrowsecurity AND NOT EXISTS (SELECT FROM pg_policy p
        WHERE p.polrelid = a.oid AND p.polpermissive AND a.role = ANY (p.polroles)
            AND p.polcmd::text IN ('*', a.letter)
            AND (a.rolname = 'blotter_reader'
                OR coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') = 'true'
                    AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true'))
UNION ALL
SELECT format('the rule %s on %s changes what is done to it', w.rulename, c.relname)
    FROM pg_rewrite w JOIN relations c ON c.oid = w.ev_class WHERE c.relkind IN ('r', 'p')
UNION ALL
SELECT format('the trigger %s on %s is none of the migrations', t.tgname, c.relname)
    FROM pg_trigger t JOIN relations c ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND (t.tgname::text, t.tgfoid) NOT IN (
        ('append_only_rows', to_regproc('public.blotter_refuse_change')::oid),
        ('append_only_table', to_regproc('public.blotter_refuse_change')::oid),
        ('journal_balances', to_regproc('public.blotter_journal_balances')::oid))
UNION ALL
SELECT format('%s has to refuse UPDATE, DELETE and TRUNCATE by triggers that are ENABLE ALWAYS', name)
    FROM unnest($3) name
    WHERE ARRAY['append_only_rows', 'append_only_table'] <> ARRAY(
        SELECT t.tgname::text FROM pg_trigger t JOIN relations c ON c.oid = t.tgrelid
        WHERE c.relname = name AND t.tgenabled = 'A' AND t.tgfoid = to_regproc('public.blotter_refuse_change')
            AND t.tgqual IS NULL AND cardinality(t.tgattr::int2[]) = 0
            -- BEFORE, and EACH ROW for UPDATE and DELETE, or for TRUNCATE.
            AND t.tgtype = CASE t.tgname WHEN 'append_only_rows' THEN 1 + 2 + 8 + 16 ELSE 2 + 32 END
        ORDER BY 1)
ORDER BY 1";

/// Lets a database pass that keeps tenants apart and its log append-only.
///
/// # Errors
/// [`DatabaseError::NotIsolated`] with everything that breaks a rule, or the database fails.
pub async fn check(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    let found: Vec<String> = sqlx::query_scalar(CATALOGUE)
        .bind(SEEN_BY_READERS)
        .bind(SHARED)
        .bind(APPEND_ONLY)
        .bind(IDENTITY)
        .bind(WORDS)
        .bind(FUNCTIONS.map(|[name, _, _]| name))
        .bind(FUNCTIONS.map(|[_, volatility, _]| volatility))
        .bind(FUNCTIONS.map(|[_, _, body]| body))
        .fetch_all(connection)
        .await?;
    if found.is_empty() { Ok(()) } else { Err(DatabaseError::NotIsolated(Violations(found))) }
}
