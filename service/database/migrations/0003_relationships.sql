-- Who may read which stream: 0 is the shared one of a relationship, 1 and 2 are the private ones of its first and second
-- member. Row-level security asks this table, and only the door, which lets people in, writes it.
CREATE TABLE readers (
    relationship_id uuid NOT NULL,
    stream smallint NOT NULL CHECK (stream BETWEEN 0 AND 2),
    member_id uuid NOT NULL,
    PRIMARY KEY (relationship_id, stream, member_id)
);

CREATE INDEX readers_of_member ON readers (member_id);

CREATE TABLE relationships (
    relationship_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('solo', 'inviting', 'confirming', 'active', 'ended')),
    shared_stream_id uuid NOT NULL,
    invite_expires_at timestamptz,
    created_at timestamptz NOT NULL
);

-- At most two a relationship: seat 1 made it, seat 2 accepted an invite. This gives neither any right more.
-- author_id and private_stream_id are the random ids by which headers name a member and their private stream; rows of the
-- log have the seat instead.
-- The name, sealed as in members, stands here for the other to see; after the end it stays what it was.
-- An erased member is null.
-- A foreign key to members would lack the relationship, by which this table may one day be distributed.
CREATE TABLE memberships (
    relationship_id uuid NOT NULL REFERENCES relationships,
    seat smallint NOT NULL CHECK (seat IN (1, 2)),
    member_id uuid,
    author_id uuid NOT NULL,
    private_stream_id uuid NOT NULL,
    name bytea,
    joined_at timestamptz NOT NULL,
    PRIMARY KEY (relationship_id, seat),
    UNIQUE (relationship_id, member_id)
);

CREATE INDEX memberships_of_member ON memberships (member_id);

-- Looked up by the hash of a code of 60 bits. It belongs to the directory of who may come in, and refers to no table of
-- relationships.
CREATE TABLE invites (
    code_hash bytea PRIMARY KEY,
    relationship_id uuid NOT NULL UNIQUE,
    expires_at timestamptz NOT NULL,
    used boolean NOT NULL
);

GRANT SELECT ON readers TO mutuality_service;

GRANT SELECT, INSERT, DELETE ON readers TO mutuality_door;

GRANT SELECT, DELETE ON readers TO mutuality_keeper;

-- The ids of streams and authors stand in every header: nobody may change them.
GRANT SELECT, UPDATE (state, invite_expires_at) ON relationships TO mutuality_service;

GRANT SELECT, INSERT, UPDATE (state, invite_expires_at) ON relationships TO mutuality_door;

GRANT SELECT ON relationships TO mutuality_keeper;

GRANT SELECT, UPDATE (name) ON memberships TO mutuality_service;

GRANT SELECT, INSERT, DELETE ON memberships TO mutuality_door;

GRANT SELECT, UPDATE (member_id, name) ON memberships TO mutuality_keeper;

GRANT SELECT, INSERT, DELETE ON invites TO mutuality_service;

GRANT SELECT, DELETE, UPDATE (used) ON invites TO mutuality_door;

GRANT SELECT, DELETE ON invites TO mutuality_keeper;

-- The second wall. Whatever a statement forgets to ask for, the service sees rows of those members only for whom it
-- acts; without any, none. The door and the keeper are named where they are needed, with nothing else granted to them.
ALTER TABLE readers ENABLE ROW LEVEL SECURITY;

ALTER TABLE readers FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON readers TO mutuality_service
    USING (member_id = ANY ((SELECT nullif(current_setting('mutuality.members', true), '')::uuid[])::uuid[]));

CREATE POLICY every ON readers TO mutuality_door, mutuality_keeper USING (true);

ALTER TABLE relationships ENABLE ROW LEVEL SECURITY;

ALTER TABLE relationships FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON relationships TO mutuality_service
    USING (relationship_id = ANY ((SELECT array_agg(relationship_id) FROM readers)::uuid[]));

CREATE POLICY every ON relationships TO mutuality_door, mutuality_keeper USING (true);

ALTER TABLE memberships ENABLE ROW LEVEL SECURITY;

ALTER TABLE memberships FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON memberships TO mutuality_service
    USING (relationship_id = ANY ((SELECT array_agg(relationship_id) FROM readers)::uuid[]));

CREATE POLICY every ON memberships TO mutuality_door, mutuality_keeper USING (true);

ALTER TABLE invites ENABLE ROW LEVEL SECURITY;

ALTER TABLE invites FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON invites TO mutuality_service
    USING (relationship_id = ANY ((SELECT array_agg(relationship_id) FROM readers)::uuid[]));

CREATE POLICY every ON invites TO mutuality_door, mutuality_keeper USING (true);
