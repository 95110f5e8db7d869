-- Where a member's pushes go. The id comes from the phone, so it is unique with its member only. The address is sealed
-- with the member's key. A device belongs to the session that registered it last, and goes with it.
-- `registration` is new with each registration: who finds an address dead disables no newer one.
-- An address belongs to whoever registered it last: the others that had it are found by `address_hash`, under the look-up
-- key. `failure` is why its pushes do not arrive, since `failing_since`.
CREATE TABLE devices (
    member_id uuid NOT NULL REFERENCES members,
    device_id uuid NOT NULL,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    platform text NOT NULL CHECK (platform IN ('ios', 'android', 'web')),
    provider text NOT NULL CHECK (provider IN ('apns', 'fcm', 'webpush')),
    address bytea NOT NULL,
    address_hash bytea NOT NULL,
    registration uuid NOT NULL,
    registered_at timestamptz NOT NULL,
    disabled_at timestamptz,
    failing_since timestamptz,
    failure text CHECK (failure IN ('gone', 'other_app', 'refused')),
    PRIMARY KEY (member_id, device_id)
);

CREATE INDEX devices_of_session ON devices (session_id);

CREATE INDEX devices_by_address ON devices (address_hash);

GRANT SELECT, INSERT, UPDATE, DELETE ON devices TO mutuality_service;

GRANT SELECT, UPDATE (disabled_at, failing_since, failure), DELETE ON devices TO mutuality_prompter;

GRANT SELECT, DELETE ON devices TO mutuality_keeper;

ALTER TABLE devices ENABLE ROW LEVEL SECURITY;

ALTER TABLE devices FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON devices TO mutuality_service
USING (member_id = ANY ((SELECT nullif(current_setting('mutuality.members', true), '')::uuid[])::uuid[]));

CREATE POLICY to_send ON devices TO mutuality_prompter USING (true);

CREATE POLICY to_erase ON devices TO mutuality_keeper USING (true);
