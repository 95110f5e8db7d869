-- What an author counts in a stream, a page a month (twelve times the year, and the month from 0 to 11), encrypted under a key of
-- that author. A page is written anew with each event that it counts, by the statement that writes the head.
CREATE TABLE pages (
    relationship_id uuid NOT NULL,
    stream smallint NOT NULL CHECK (stream BETWEEN 0 AND 2),
    author smallint NOT NULL CHECK (author IN (1, 2)),
    month integer NOT NULL,
    ciphertext bytea NOT NULL,
    PRIMARY KEY (relationship_id, stream, author, month)
) WITH (fillfactor = 70);

-- The statement that appends names pages, and PostgreSQL asks for these rights even where no row is written. No policy lets
-- the service write one.
GRANT SELECT, INSERT, UPDATE (ciphertext) ON pages TO mutuality_service;

GRANT SELECT, INSERT, UPDATE, DELETE ON pages TO mutuality_keeper;

ALTER TABLE pages ENABLE ROW LEVEL SECURITY;

ALTER TABLE pages FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON pages FOR SELECT TO mutuality_service
    USING (((relationship_id, stream) IN (SELECT readers.relationship_id, readers.stream FROM readers)) IS TRUE);

CREATE POLICY every ON pages TO mutuality_keeper USING (true);
