CREATE TABLE relationships (
    relationship_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('solo', 'inviting', 'confirming', 'active', 'ended')),
    shared_stream_id uuid NOT NULL,
    invite_expires_at timestamptz,
    created_at timestamptz NOT NULL
);

-- At most two a relationship: the first made it, the second accepted an invite. This gives neither any right more.
-- A foreign key to members would lack the relationship, by which this table may one day be distributed.
CREATE TABLE memberships (
    relationship_id uuid NOT NULL REFERENCES relationships,
    seat text NOT NULL CHECK (seat IN ('first', 'second')),
    member_id uuid NOT NULL,
    author_id uuid NOT NULL,
    private_stream_id uuid NOT NULL,
    name_at_end text,
    joined_at timestamptz NOT NULL,
    PRIMARY KEY (relationship_id, seat),
    UNIQUE (relationship_id, member_id)
);

CREATE INDEX memberships_of_member ON memberships (member_id);

-- Looked up by the hash of a code of 60 bits.
CREATE TABLE invites (
    code_hash bytea PRIMARY KEY,
    relationship_id uuid NOT NULL UNIQUE REFERENCES relationships,
    expires_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON relationships TO mutuality_service;

GRANT SELECT, INSERT, UPDATE, DELETE ON memberships TO mutuality_service;

GRANT SELECT, INSERT, DELETE ON invites TO mutuality_service;
