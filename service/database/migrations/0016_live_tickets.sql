-- A ticket with which a browser, which cannot send a token along, opens one live stream: a session has one at a time,
-- kept as a hash, and it is gone once it is used.
CREATE TABLE live_tickets (
    session_id uuid PRIMARY KEY REFERENCES sessions ON DELETE CASCADE,
    ticket_hash bytea NOT NULL UNIQUE,
    expires_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON live_tickets TO mutuality_door;

GRANT SELECT, DELETE ON live_tickets TO mutuality_keeper;

ALTER TABLE live_tickets ENABLE ROW LEVEL SECURITY;

ALTER TABLE live_tickets FORCE ROW LEVEL SECURITY;

CREATE POLICY at_the_door ON live_tickets TO mutuality_door USING (true);

CREATE POLICY to_erase ON live_tickets TO mutuality_keeper USING (true);
