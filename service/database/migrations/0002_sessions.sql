-- An attempt to sign in, found by the hash of its id. The id itself only the phone has that began it: it opens the
-- address and salts the code, so that whoever has the rows finds neither. A used one waits half a minute, for a phone
-- that lost the answer: tokens are derived from id, code and salt, and stand nowhere.
CREATE TABLE sign_in_attempts (
    attempt_hash bytea PRIMARY KEY,
    address_hash bytea NOT NULL,
    address bytea NOT NULL,
    known_device_id uuid,
    code_hash bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    tries_left integer NOT NULL CHECK (tries_left >= 0),
    used_at timestamptz,
    used_by bytea,
    salt bytea,
    member_id uuid
);

CREATE INDEX sign_in_attempts_by_expiry ON sign_in_attempts (expires_at);

CREATE INDEX sign_in_attempts_of_address ON sign_in_attempts (address_hash);

-- When codes were asked for under one allowance, in the last 24 hours. The key is a keyed hash and names nobody.
CREATE TABLE code_allowances (
    key_hash bytea PRIMARY KEY,
    asked_at timestamptz[] NOT NULL,
    forget_at timestamptz NOT NULL
);

CREATE INDEX code_allowances_by_end ON code_allowances (forget_at);

-- A device on which a member has signed in before. It outlives its sessions. Its secret is derived from its id with the
-- look-up key; here stands its hash.
CREATE TABLE known_devices (
    known_device_id uuid PRIMARY KEY,
    member_id uuid NOT NULL REFERENCES members,
    secret_hash bytea NOT NULL UNIQUE,
    used_at timestamptz NOT NULL
);

CREATE INDEX known_devices_of_member ON known_devices (member_id);

-- One row a device that is signed in: a family of refresh tokens. The name is sealed with the member's key.
CREATE TABLE sessions (
    session_id uuid PRIMARY KEY,
    member_id uuid NOT NULL REFERENCES members,
    known_device_id uuid NOT NULL,
    device_name bytea NOT NULL,
    created_at timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL,
    stepped_up_at timestamptz
);

CREATE INDEX sessions_of_member ON sessions (member_id);

-- The code that a session asked for to step up, or to prove a mail address, as a keyed hash; the next one takes its
-- place. The address is sealed with the member's key.
CREATE TABLE session_codes (
    session_id uuid REFERENCES sessions ON DELETE CASCADE,
    purpose text CHECK (purpose IN ('step-up', 'address')),
    code_hash bytea NOT NULL,
    asked_at timestamptz NOT NULL,
    tries_left integer NOT NULL CHECK (tries_left >= 0),
    used_at timestamptz,
    email bytea,
    address_hash bytea,
    PRIMARY KEY (session_id, purpose)
);

CREATE TABLE access_tokens (
    token_hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);

CREATE INDEX access_tokens_of_session ON access_tokens (session_id);

-- A used token is kept for as long as it could be used: its second use is how a theft is noticed.
-- The successors are derived from the token itself and this salt, so that a lost answer can be given again
-- although no token is stored.
CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    successor_salt bytea
);

CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id);

-- At the door a token or a code is brought; behind it a member sees and ends their own sessions, and no token.
GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_attempts, code_allowances, known_devices, session_codes TO mutuality_door;

GRANT SELECT (session_id, member_id, known_device_id, created_at, refreshed_at, stepped_up_at), INSERT, UPDATE (refreshed_at), DELETE ON sessions TO mutuality_door;

GRANT SELECT, INSERT, DELETE ON access_tokens TO mutuality_door;

GRANT SELECT, INSERT, UPDATE (used_at, successor_salt), DELETE ON refresh_tokens TO mutuality_door;

GRANT SELECT, UPDATE (stepped_up_at), DELETE ON sessions TO mutuality_service;

GRANT SELECT, DELETE ON sign_in_attempts, known_devices, session_codes, sessions, access_tokens, refresh_tokens TO mutuality_keeper;

ALTER TABLE sign_in_attempts ENABLE ROW LEVEL SECURITY;

ALTER TABLE sign_in_attempts FORCE ROW LEVEL SECURITY;

CREATE POLICY at_the_door ON sign_in_attempts TO mutuality_door USING (true);

CREATE POLICY to_erase ON sign_in_attempts TO mutuality_keeper USING (true);

ALTER TABLE code_allowances ENABLE ROW LEVEL SECURITY;

ALTER TABLE code_allowances FORCE ROW LEVEL SECURITY;

CREATE POLICY at_the_door ON code_allowances TO mutuality_door USING (true);

ALTER TABLE known_devices ENABLE ROW LEVEL SECURITY;

ALTER TABLE known_devices FORCE ROW LEVEL SECURITY;

CREATE POLICY at_the_door ON known_devices TO mutuality_door USING (true);

CREATE POLICY to_erase ON known_devices TO mutuality_keeper USING (true);

ALTER TABLE session_codes ENABLE ROW LEVEL SECURITY;

ALTER TABLE session_codes FORCE ROW LEVEL SECURITY;

CREATE POLICY at_the_door ON session_codes TO mutuality_door USING (true);

CREATE POLICY to_erase ON session_codes TO mutuality_keeper USING (true);

ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;

ALTER TABLE sessions FORCE ROW LEVEL SECURITY;

CREATE POLICY at_the_door ON sessions TO mutuality_door USING (true);

CREATE POLICY to_erase ON sessions TO mutuality_keeper USING (true);

CREATE POLICY own ON sessions TO mutuality_service
USING (member_id = ANY ((SELECT nullif(current_setting('mutuality.members', true), '')::uuid[])::uuid[]));

ALTER TABLE access_tokens ENABLE ROW LEVEL SECURITY;

ALTER TABLE access_tokens FORCE ROW LEVEL SECURITY;

CREATE POLICY at_the_door ON access_tokens TO mutuality_door USING (true);

CREATE POLICY to_erase ON access_tokens TO mutuality_keeper USING (true);

ALTER TABLE refresh_tokens ENABLE ROW LEVEL SECURITY;

ALTER TABLE refresh_tokens FORCE ROW LEVEL SECURITY;

CREATE POLICY at_the_door ON refresh_tokens TO mutuality_door USING (true);

CREATE POLICY to_erase ON refresh_tokens TO mutuality_keeper USING (true);
