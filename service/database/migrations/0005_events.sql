-- The log. The service may read and insert; nobody may update or delete.
-- An id is unique in its stream only: one that spanned streams would tell of events that cannot be read.
-- `alters` is blinded with a key of the relationship, and there in every row: it tells nothing of what an event says.
CREATE TABLE events (
    relationship_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    position bigint NOT NULL CHECK (position >= 1),
    event_id uuid NOT NULL,
    alters uuid NOT NULL,
    header text NOT NULL,
    link bytea NOT NULL CHECK (length(link) = 32),
    PRIMARY KEY (relationship_id, stream_id, position),
    UNIQUE (relationship_id, stream_id, event_id),
    FOREIGN KEY (relationship_id, stream_id) REFERENCES heads
);

-- What retracts or retells an event is found by the event's id. That comes first: with the stream in front, a planner
-- that knows little of a young table takes this index for the one above, and reads a whole stream for each id.
CREATE INDEX events_altering ON events (alters, relationship_id, stream_id);

-- What the events say, sealed with a key of their author. Erasing a member deletes their rows here, and their key;
-- the event itself stays, and so does the chain. The author is null for what the service says.
-- A text is inserted by the statement that inserts its event; a foreign key would look for each event once more, and
-- while the table is young it may read a whole stream for that.
CREATE TABLE texts (
    relationship_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    position bigint NOT NULL,
    author_id uuid,
    sealed bytea NOT NULL,
    PRIMARY KEY (relationship_id, stream_id, position)
);

GRANT SELECT, INSERT ON events TO mutuality_service, mutuality_keeper;

GRANT SELECT, INSERT ON texts TO mutuality_service;

GRANT SELECT, INSERT, DELETE ON texts TO mutuality_keeper;

ALTER TABLE events ENABLE ROW LEVEL SECURITY;

ALTER TABLE events FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON events TO mutuality_service
    USING (stream_id = ANY ((SELECT array_agg(stream_id) FROM readers)::uuid[]));

CREATE POLICY every ON events TO mutuality_keeper USING (true);

ALTER TABLE texts ENABLE ROW LEVEL SECURITY;

ALTER TABLE texts FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON texts TO mutuality_service
    USING (stream_id = ANY ((SELECT array_agg(stream_id) FROM readers)::uuid[]));

CREATE POLICY every ON texts TO mutuality_keeper USING (true);
