-- Shared events that prompts may follow, written with the event itself whatever anybody's settings are, and gone as soon
-- as both members' prompts are planned. Without a foreign key to relationships: whoever records would wait for whoever
-- leaves, who waits for them.
CREATE TABLE occasions (
    relationship_id uuid NOT NULL,
    event_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (relationship_id, event_id)
);

CREATE INDEX occasions_in_turn ON occasions (recorded_at);

GRANT SELECT, DELETE ON occasions TO mutuality_prompter, mutuality_keeper;

-- The one statement that appends names occasions, and PostgreSQL asks for this right even where no row is written, as with
-- what the service itself announces. Without a policy none can be.
GRANT INSERT ON occasions TO mutuality_service;

ALTER TABLE occasions ENABLE ROW LEVEL SECURITY;

ALTER TABLE occasions FORCE ROW LEVEL SECURITY;

CREATE POLICY to_plan ON occasions TO mutuality_prompter USING (true);

CREATE POLICY to_erase ON occasions TO mutuality_keeper USING (true);
