-- Wrapped keys, apart from the data: a dump of the data alone opens nothing, and one of both only with the epoch's key.
CREATE SCHEMA keys;

-- Epochs whose key the store holds, and how many erased members' keys were wrapped in each: until it is destroyed, a
-- backup from before can still be opened.
CREATE TABLE keys.epochs (
    epoch integer PRIMARY KEY CHECK (epoch > 0),
    began_at timestamptz NOT NULL,
    erasures integer NOT NULL DEFAULT 0
);

-- With the look-up key mail addresses and accounts elsewhere are hashed; there is only one.
CREATE TABLE keys.wrapped (
    purpose text NOT NULL CHECK (purpose IN ('member', 'relationship', 'look-up')),
    owner_id uuid NOT NULL,
    epoch integer NOT NULL REFERENCES keys.epochs,
    wrapped bytea NOT NULL,
    PRIMARY KEY (purpose, owner_id)
);

CREATE INDEX wrapped_by_epoch ON keys.wrapped (epoch);

GRANT USAGE ON SCHEMA keys TO mutuality_keys;

GRANT SELECT, INSERT, UPDATE, DELETE ON keys.epochs, keys.wrapped TO mutuality_keys;

-- Whose keys belong to a relationship.
GRANT SELECT (relationship_id, seat, author_id, member_id) ON memberships TO mutuality_keys;

CREATE POLICY owners_of_keys ON memberships FOR SELECT TO mutuality_keys USING (true);

-- Until they are confirmed, another one may come.
GRANT SELECT (relationship_id, state) ON relationships TO mutuality_keys;

CREATE POLICY owners_of_keys ON relationships FOR SELECT TO mutuality_keys USING (true);
