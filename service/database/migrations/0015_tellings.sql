-- Of those who tell of one decision, or close one opening, only the last in a stream is looked for: it is found at once,
-- however many there are.
DROP INDEX events_altering;

CREATE INDEX events_altering ON events (alters, position);
