-- The last position of each stream and its link. Whoever appends locks this row first.
CREATE TABLE heads (
    relationship_id uuid NOT NULL REFERENCES relationships,
    stream_id uuid NOT NULL,
    private boolean NOT NULL,
    position bigint NOT NULL CHECK (position >= 0),
    link bytea NOT NULL CHECK (length(link) = 32),
    PRIMARY KEY (relationship_id, stream_id)
);

GRANT SELECT, INSERT, UPDATE ON heads TO mutuality_service;

GRANT INSERT ON heads TO mutuality_door;

GRANT SELECT, UPDATE ON heads TO mutuality_keeper;

ALTER TABLE heads ENABLE ROW LEVEL SECURITY;

ALTER TABLE heads FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON heads TO mutuality_service
    USING (stream_id = ANY ((SELECT array_agg(stream_id) FROM readers)::uuid[]));

-- Who confirms begins the private stream of who is confirmed.
CREATE POLICY begun ON heads FOR INSERT TO mutuality_service
    WITH CHECK (relationship_id = ANY ((SELECT array_agg(relationship_id) FROM readers)::uuid[]));

CREATE POLICY begun_at_the_door ON heads FOR INSERT TO mutuality_door WITH CHECK (true);

CREATE POLICY every ON heads TO mutuality_keeper USING (true);
