-- An invitation says whom it makes, so that the log can tell of it before anybody has come and who came by it.
ALTER TABLE invitations
    ADD COLUMN user_id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN tenant_id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD CONSTRAINT invitations_user UNIQUE (user_id),
    ADD CONSTRAINT invitations_tenant UNIQUE (tenant_id);

ALTER TABLE invitations ALTER COLUMN user_id DROP DEFAULT, ALTER COLUMN tenant_id DROP DEFAULT;
