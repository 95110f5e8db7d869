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
