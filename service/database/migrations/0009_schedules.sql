-- When a member wants to be asked, and what: encrypted under their key. The seed is their secret, from which moments are drawn; nothing is asked about the
-- time before `since`, when schedule or zone last changed. Planning is due again at `plan_at`; null is never.
-- `planned` is another one after each planning: two who plan for one member at once would exceed the caps.
CREATE TABLE schedules (
    member_id uuid PRIMARY KEY REFERENCES members,
    schedule bytea NOT NULL,
    seed bytea NOT NULL CHECK (length(seed) = 32),
    since timestamptz NOT NULL,
    plan_at timestamptz,
    planned uuid
);

CREATE INDEX schedules_to_plan ON schedules (plan_at);

GRANT SELECT, INSERT, UPDATE ON schedules TO mutuality_service;

GRANT SELECT, UPDATE (plan_at, planned) ON schedules TO mutuality_prompter;

GRANT SELECT, DELETE ON schedules TO mutuality_keeper;

-- Whoever plans has to know where a member is, whether they consent or pause, and which relationships have not ended.
GRANT SELECT (member_id, time_zone, consent_version, pauses) ON members TO mutuality_prompter;

CREATE POLICY to_plan ON members TO mutuality_prompter USING (true);

GRANT SELECT ON relationships, memberships TO mutuality_prompter;

CREATE POLICY to_plan ON relationships TO mutuality_prompter USING (true);

CREATE POLICY to_plan ON memberships TO mutuality_prompter USING (true);

ALTER TABLE schedules ENABLE ROW LEVEL SECURITY;

ALTER TABLE schedules FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON schedules TO mutuality_service
USING (member_id = ANY ((SELECT nullif(current_setting('mutuality.members', true), '')::uuid[])::uuid[]));

CREATE POLICY to_plan ON schedules TO mutuality_prompter USING (true);

CREATE POLICY to_erase ON schedules TO mutuality_keeper USING (true);
