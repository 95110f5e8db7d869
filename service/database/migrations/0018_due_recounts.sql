-- The private streams whose counts an erasure has changed: what is about something that is gone now counts the episode
-- itself. Noted in the transaction that erases, and gone in the one that counts again, whichever process does that.
CREATE TABLE due_recounts (
    relationship_id uuid NOT NULL,
    stream smallint NOT NULL CHECK (stream IN (1, 2)),
    PRIMARY KEY (relationship_id, stream)
);

GRANT SELECT, INSERT, DELETE ON due_recounts TO mutuality_keeper;

ALTER TABLE due_recounts ENABLE ROW LEVEL SECURITY;

ALTER TABLE due_recounts FORCE ROW LEVEL SECURITY;

CREATE POLICY to_recount ON due_recounts TO mutuality_keeper USING (true);
