-- A grant is offered first and opens nothing until its holder accepts it. Those that are there were given when nobody was
-- asked, and stay. `given_by` is the tenant of whoever gave it; `grantee` is how the giver named the holder, until it ends.
ALTER TABLE grants ADD COLUMN accepted_at timestamptz, ADD COLUMN given_by uuid, ADD COLUMN grantee text;

UPDATE grants SET accepted_at = created_at, given_by = tenant_id;

ALTER TABLE grants ALTER COLUMN given_by SET NOT NULL;

CREATE INDEX grants_offered ON grants (created_at) WHERE accepted_at IS NULL AND revoked_at IS NULL;
