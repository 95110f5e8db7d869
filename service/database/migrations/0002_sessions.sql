-- Six digits are found at once by whoever has their hash, so codes work for ten minutes; the next one asked for by
-- anybody deletes them.
CREATE TABLE sign_in_codes (
    address_hash bytea NOT NULL,
    code_id uuid NOT NULL,
    code_hash bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    tries_left integer NOT NULL CHECK (tries_left >= 0),
    PRIMARY KEY (address_hash, code_id)
);

CREATE INDEX sign_in_codes_by_expiry ON sign_in_codes (expires_at);

-- One row a device that is signed in: a family of refresh tokens. The name is sealed with the member's key.
CREATE TABLE sessions (
    session_id uuid PRIMARY KEY,
    member_id uuid NOT NULL REFERENCES members,
    device_name bytea NOT NULL,
    created_at timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL,
    stepped_up_at timestamptz
);

CREATE INDEX sessions_of_member ON sessions (member_id);

CREATE TABLE access_tokens (
    token_hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);

CREATE INDEX access_tokens_of_session ON access_tokens (session_id);

-- A used token is kept for as long as its session: its second use is how a theft is noticed.
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
GRANT SELECT, INSERT, UPDATE (tries_left), DELETE ON sign_in_codes TO mutuality_door;

GRANT SELECT (session_id, member_id, created_at, stepped_up_at), INSERT, UPDATE (refreshed_at), DELETE ON sessions TO mutuality_door;

GRANT SELECT, INSERT, DELETE ON access_tokens TO mutuality_door;

GRANT SELECT, INSERT, UPDATE (used_at, successor_salt) ON refresh_tokens TO mutuality_door;

GRANT SELECT, UPDATE (stepped_up_at), DELETE ON sessions TO mutuality_service;

GRANT SELECT, DELETE ON sign_in_codes, sessions, access_tokens, refresh_tokens TO mutuality_keeper;

ALTER TABLE sign_in_codes ENABLE ROW LEVEL SECURITY;

ALTER TABLE sign_in_codes FORCE ROW LEVEL SECURITY;

CREATE POLICY at_the_door ON sign_in_codes TO mutuality_door USING (true);

CREATE POLICY to_erase ON sign_in_codes TO mutuality_keeper USING (true);

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
