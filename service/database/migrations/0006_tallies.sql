-- Daily counts. Addition is all that ever happens to them, so the order of events cannot matter.
CREATE TABLE tallies (
    relationship_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    day date NOT NULL,
    teller uuid NOT NULL,
    domain text NOT NULL,
    measure text NOT NULL,
    value text NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (relationship_id, stream_id, day, teller, domain, measure, value),
    FOREIGN KEY (relationship_id, stream_id) REFERENCES heads
);

GRANT SELECT, INSERT, UPDATE ON tallies TO mutuality_service;

GRANT SELECT, INSERT, UPDATE, DELETE ON tallies TO mutuality_keeper;

ALTER TABLE tallies ENABLE ROW LEVEL SECURITY;

ALTER TABLE tallies FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON tallies TO mutuality_service
    USING (stream_id = ANY ((SELECT array_agg(stream_id) FROM readers)::uuid[]));

CREATE POLICY every ON tallies TO mutuality_keeper USING (true);
