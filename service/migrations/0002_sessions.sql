-- Six digits are found at once by whoever has their hash, so codes work for ten minutes; the next one asked for by
-- anybody deletes them.
CREATE TABLE sign_in_codes (
    email text NOT NULL,
    code_id uuid NOT NULL,
    code_hash bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    tries_left integer NOT NULL CHECK (tries_left >= 0),
    PRIMARY KEY (email, code_id)
);

CREATE INDEX sign_in_codes_by_expiry ON sign_in_codes (expires_at);

-- One row a device that is signed in: a family of refresh tokens.
CREATE TABLE sessions (
    session_id uuid PRIMARY KEY,
    member_id uuid NOT NULL REFERENCES members,
    device_name text NOT NULL,
    created_at timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL
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

GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_codes TO mutuality_service;

GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO mutuality_service;

GRANT SELECT, INSERT, DELETE ON access_tokens TO mutuality_service;

GRANT SELECT, INSERT, UPDATE, DELETE ON refresh_tokens TO mutuality_service;
