-- One prompt of one member, planned once for each item and day: `item_id` is the schedule's item, or the event that it
-- follows. `asked_on` is its date on the member's wall. It is not sent after `send_before` (quiet hours, or too late to
-- be worth it), nor reminded of where `remind_at` is null. `questions` are encrypted under the member's key. Each prompt
-- waits until it is `looked_into`: whether there are questions about oneself among them, and whether these rest. What
-- came of it stands in the questions alone.
CREATE TABLE prompts (
    member_id uuid NOT NULL REFERENCES members,
    prompt_id uuid NOT NULL,
    relationship_id uuid NOT NULL,
    reason text NOT NULL CHECK (reason IN ('schedule', 'after_event')),
    item_id uuid NOT NULL,
    day date NOT NULL,
    asked_on date NOT NULL,
    questions bytea NOT NULL,
    looked_into boolean NOT NULL,
    due_at timestamptz NOT NULL,
    send_before timestamptz NOT NULL,
    remind_at timestamptz,
    remind_before timestamptz,
    expires_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('scheduled', 'sent', 'answered', 'dismissed', 'lapsed')),
    reminded_at timestamptz,
    answered_at timestamptz,
    late boolean NOT NULL,
    PRIMARY KEY (member_id, prompt_id),
    UNIQUE (member_id, item_id, day)
);

CREATE INDEX prompts_due ON prompts (due_at) WHERE state = 'scheduled';

CREATE INDEX prompts_to_remind ON prompts (remind_at) WHERE state = 'sent' AND reminded_at IS NULL;

CREATE INDEX prompts_open ON prompts (expires_at) WHERE state = 'sent';

CREATE INDEX prompts_of_relationship ON prompts (relationship_id);

GRANT SELECT, UPDATE, DELETE ON prompts TO mutuality_service;

GRANT SELECT, INSERT, UPDATE, DELETE ON prompts TO mutuality_prompter;

GRANT SELECT, DELETE ON prompts TO mutuality_keeper;

ALTER TABLE prompts ENABLE ROW LEVEL SECURITY;

ALTER TABLE prompts FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON prompts TO mutuality_service
USING (member_id = ANY ((SELECT nullif(current_setting('mutuality.members', true), '')::uuid[])::uuid[]));

CREATE POLICY to_plan ON prompts TO mutuality_prompter USING (true);

CREATE POLICY to_erase ON prompts TO mutuality_keeper USING (true);
