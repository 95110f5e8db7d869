-- A person who has signed in. The mail address has a table of its own: it is looked up by another key.
CREATE TABLE members (
    member_id uuid PRIMARY KEY,
    name text,
    time_zone text NOT NULL,
    consent_version text,
    created_at timestamptz NOT NULL
);

CREATE TABLE addresses (
    email text PRIMARY KEY,
    member_id uuid NOT NULL UNIQUE REFERENCES members
);

GRANT SELECT, INSERT, UPDATE ON members TO mutuality_service;

GRANT SELECT, INSERT ON addresses TO mutuality_service;
