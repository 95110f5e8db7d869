-- Wrapped keys, apart from the data: a dump of the data alone opens nothing, and one of both only with the epoch's key.
CREATE SCHEMA keys;

CREATE TABLE keys.members (
    member_id uuid PRIMARY KEY,
    epoch text NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE keys.relationships (
    relationship_id uuid PRIMARY KEY,
    epoch text NOT NULL,
    wrapped bytea NOT NULL
);

GRANT USAGE ON SCHEMA keys TO mutuality_keys;

GRANT SELECT, INSERT, UPDATE, DELETE ON keys.members TO mutuality_keys;

GRANT SELECT, INSERT, UPDATE, DELETE ON keys.relationships TO mutuality_keys;

-- Whose keys belong to a relationship.
GRANT SELECT (relationship_id, author_id, member_id) ON memberships TO mutuality_keys;

CREATE POLICY owners_of_keys ON memberships FOR SELECT TO mutuality_keys USING (true);
