-- Who has invited is told, without a word of what it is, that there is something to look at.
ALTER TABLE outbox DROP CONSTRAINT outbox_class_check;

ALTER TABLE outbox ADD CONSTRAINT outbox_class_check CHECK (class IN ('prompt', 'reminder', 'withdraw', 'accepted'));
