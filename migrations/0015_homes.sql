-- A row of `throttles` without failures is a home: an address of the network from which its user has logged in.
ALTER TABLE throttles DROP CONSTRAINT throttles_failures,
    ADD CONSTRAINT throttles_failures CHECK (failures >= 0);

-- Who declined an offer is not asked again at once by the same giver.
ALTER TABLE grants ADD COLUMN declined boolean NOT NULL DEFAULT false;

CREATE INDEX grants_declined ON grants (user_id, given_by) WHERE declined;
