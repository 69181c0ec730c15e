-- A try at a password takes its place among the failed ones before it is compared, and gives it back if it was right: of
-- tries at the same time, in however many processes, no more are compared than may fail. Whoever counts by the same key
-- waits for the other: locks are taken in one order, and last for one statement, or for what a right password changes.

-- Waits until nobody else counts by these keys.
CREATE FUNCTION blotter_hold_counts(counted bytea[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(key) FROM (
        SELECT ('x' || encode(substr(key_hash, 1, 8), 'hex'))::bit(64)::bigint FROM unnest(counted) key_hash ORDER BY 1
    ) ordered (key);
END
$$;

-- Takes a place among the failed tries by all three keys, unless one of them has to wait: by user and address, by
-- address, by user from anywhere. What holds by the third does not hold at a home, nor where one has been waiting by it
-- for the longest time. `since` is when each key had failed last, for who gives the place back; waits are microseconds.
CREATE FUNCTION blotter_try(counted bytea[], home bytea, knock bytea, is_free boolean, tried_at timestamptz,
    first_waits integer[], shortest interval, longest interval, forgotten interval, home_lasts interval,
    OUT of_both bigint, OUT of_address bigint, OUT since timestamptz[])
LANGUAGE plpgsql AS $$
DECLARE
    kept record;
    which integer;
    waits interval[] := ARRAY[NULL, NULL, NULL]::interval[];
    knocked timestamptz;
    is_set_back boolean := false;
BEGIN
    PERFORM blotter_hold_counts(counted);
    -- A flood of tries waits for no disk, and holds up nobody who does.
    PERFORM set_config('synchronous_commit', 'off', true);
    since := ARRAY[NULL, NULL, NULL]::timestamptz[];
    FOR kept IN SELECT key_hash, failures, last_at FROM throttles WHERE key_hash = ANY (counted || home || knock) LOOP
        -- Clocks of several machines differ by less.
        is_set_back := is_set_back OR kept.last_at > tried_at + interval '1 second';
        which := array_position(counted, kept.key_hash);
        IF which IS NOT NULL THEN
            since[which] := kept.last_at;
            IF kept.failures >= first_waits[which] THEN
                waits[which] := least(longest, shortest * power(2, least(kept.failures - first_waits[which], 30)))
                    - greatest(tried_at - kept.last_at, interval '0');
                IF waits[which] <= interval '0' THEN
                    waits[which] := NULL;
                END IF;
            END IF;
        ELSIF kept.key_hash = home THEN
            is_free := is_free OR kept.last_at > tried_at - home_lasts;
        ELSE
            knocked := kept.last_at;
        END IF;
    END LOOP;
    -- A clock that was set back must not make a wait longer than it is.
    IF is_set_back THEN
        UPDATE throttles SET last_at = tried_at WHERE key_hash = ANY (counted || home || knock) AND last_at > tried_at;
    END IF;
    IF is_free THEN
        waits[3] := NULL;
    ELSIF waits[3] IS NOT NULL AND knocked IS NULL THEN
        -- Not a failure: since when this address has been waiting.
        INSERT INTO throttles (key_hash, failures, last_at) VALUES (knock, 1, tried_at) ON CONFLICT DO NOTHING;
    ELSIF waits[3] IS NOT NULL THEN
        waits[3] := least(waits[3], longest - greatest(tried_at - knocked, interval '0'));
        IF waits[3] <= interval '0' THEN
            waits[3] := NULL;
        END IF;
    END IF;
    -- What holds of the user holds of this address alone.
    of_both := extract(epoch FROM greatest(waits[1], waits[3])) * 1000000;
    of_address := extract(epoch FROM waits[2]) * 1000000;
    IF of_both IS NULL AND of_address IS NULL THEN
        INSERT INTO throttles (key_hash, failures, last_at) SELECT key_hash, 1, tried_at FROM unnest(counted) key_hash
        ON CONFLICT (key_hash) DO UPDATE SET last_at = tried_at, failures = CASE
            WHEN throttles.last_at < tried_at - forgotten THEN 1 ELSE least(throttles.failures + 1, 1000000) END;
        DELETE FROM throttles WHERE key_hash = knock;
    END IF;
END
$$;

-- Gives back the places of a try that was at `tried_at`: the password was right. Whoever failed meanwhile stays counted.
CREATE FUNCTION blotter_give_back(counted bytea[], since timestamptz[], tried_at timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM blotter_hold_counts(counted);
    UPDATE throttles SET failures = greatest(failures - 1, 0),
        last_at = CASE WHEN throttles.last_at = tried_at THEN coalesce(place.last_at, tried_at) ELSE throttles.last_at END
    FROM unnest(counted, since) place (key_hash, last_at) WHERE throttles.key_hash = place.key_hash;
    DELETE FROM throttles WHERE key_hash = ANY (counted) AND failures = 0;
END
$$;

-- Somebody has logged in: nothing is left of this user's failures at this address, which is a home from now on.
CREATE FUNCTION blotter_log_in(counted bytea[], home bytea, knock bytea, since timestamptz[], tried_at timestamptz,
    entered_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM blotter_give_back(counted, since, tried_at);
    DELETE FROM throttles WHERE key_hash IN (counted[1], knock);
    INSERT INTO throttles (key_hash, failures, last_at) VALUES (home, 0, entered_at)
        ON CONFLICT (key_hash) DO UPDATE SET last_at = entered_at;
END
$$;

REVOKE ALL ON FUNCTION blotter_hold_counts, blotter_try, blotter_give_back, blotter_log_in FROM PUBLIC;
GRANT EXECUTE ON FUNCTION blotter_hold_counts, blotter_try, blotter_give_back, blotter_log_in TO blotter_identity;
