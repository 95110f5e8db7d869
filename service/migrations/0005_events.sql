-- The log. The service may read and insert; nobody may update or delete.
-- An id is unique in its stream only: one that spanned streams would tell of events that cannot be read.
CREATE TABLE events (
    relationship_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    position bigint NOT NULL CHECK (position >= 1),
    event_id uuid NOT NULL,
    alters uuid,
    header text NOT NULL,
    body text NOT NULL,
    opening bytea NOT NULL CHECK (length(opening) = 32),
    link bytea NOT NULL CHECK (length(link) = 32),
    PRIMARY KEY (relationship_id, stream_id, position),
    UNIQUE (relationship_id, stream_id, event_id),
    FOREIGN KEY (relationship_id, stream_id) REFERENCES heads
);

-- What retracts or retells an event is found by the event's id.
CREATE INDEX events_altering ON events (relationship_id, stream_id, alters) WHERE alters IS NOT NULL;

GRANT SELECT, INSERT ON events TO mutuality_service;
