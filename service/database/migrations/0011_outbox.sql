-- Pushes on their way, one for each prompt, device and class; a row goes when it is delivered, or of no use any more.
-- It holds no content: a push has none. Whoever sends it holds it by a lease, which runs out if they die.
-- A push that no provider will ever take is parked, to be counted and looked at, until its time is over.
CREATE TABLE outbox (
    member_id uuid NOT NULL REFERENCES members,
    prompt_id uuid NOT NULL,
    device_id uuid NOT NULL,
    class text NOT NULL CHECK (class IN ('prompt', 'reminder', 'withdraw')),
    due_at timestamptz NOT NULL,
    send_before timestamptz NOT NULL,
    attempts integer NOT NULL,
    lease uuid,
    parked boolean NOT NULL,
    PRIMARY KEY (member_id, prompt_id, device_id, class)
);

CREATE INDEX outbox_due ON outbox (due_at) WHERE NOT parked;

CREATE INDEX outbox_parked ON outbox (send_before) WHERE parked;

GRANT SELECT, INSERT, DELETE ON outbox TO mutuality_service;

GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO mutuality_prompter;

GRANT SELECT, DELETE ON outbox TO mutuality_keeper;

ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;

ALTER TABLE outbox FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON outbox TO mutuality_service
USING (member_id = ANY ((SELECT nullif(current_setting('mutuality.members', true), '')::uuid[])::uuid[]));

CREATE POLICY to_send ON outbox TO mutuality_prompter USING (true);

CREATE POLICY to_erase ON outbox TO mutuality_keeper USING (true);
