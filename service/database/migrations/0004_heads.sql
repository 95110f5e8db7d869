-- The last position of each stream and its link. Whoever appends writes this row, on the condition that it still has the
-- version that was looked at. A version grows with everything that touches what the stream says or counts.
CREATE TABLE heads (
    relationship_id uuid NOT NULL REFERENCES relationships,
    stream smallint NOT NULL CHECK (stream BETWEEN 0 AND 2),
    version bigint NOT NULL,
    position bigint NOT NULL CHECK (position >= 0),
    link bytea NOT NULL CHECK (length(link) = 32),
    PRIMARY KEY (relationship_id, stream)
) WITH (fillfactor = 70);

GRANT SELECT, INSERT, UPDATE (version, position, link) ON heads TO mutuality_service;

GRANT INSERT ON heads TO mutuality_door;

GRANT SELECT, UPDATE (version) ON heads TO mutuality_keeper;

ALTER TABLE heads ENABLE ROW LEVEL SECURITY;

ALTER TABLE heads FORCE ROW LEVEL SECURITY;

-- Put so, the condition filters what was found by its key, and is no way to find it.
CREATE POLICY own ON heads TO mutuality_service
    USING (((relationship_id, stream) IN (SELECT readers.relationship_id, readers.stream FROM readers)) IS TRUE);

-- Who confirms begins the private stream of who is confirmed.
CREATE POLICY begun ON heads FOR INSERT TO mutuality_service
    WITH CHECK (relationship_id = ANY ((SELECT array_agg(relationship_id) FROM readers)::uuid[]));

CREATE POLICY begun_at_the_door ON heads FOR INSERT TO mutuality_door WITH CHECK (true);

CREATE POLICY every ON heads TO mutuality_keeper USING (true);
