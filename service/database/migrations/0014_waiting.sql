-- What sealed check-ins wait with: beginnings of keyed hashes, equally many for each entry. `tag` is found by who has the
-- same answer for the same thing; `entry` is another one beside each tag of an entry. Neither tells whose it is.
-- A row for each, and none shared by several answers: so what is there is found in the same time as what is not.
CREATE TABLE waiting (
    relationship_id uuid NOT NULL,
    tag bigint NOT NULL,
    entry bigint NOT NULL,
    PRIMARY KEY (relationship_id, tag, entry)
);

GRANT SELECT, INSERT, DELETE ON waiting TO mutuality_recorder;

GRANT SELECT (relationship_id), DELETE ON waiting TO mutuality_keeper;

ALTER TABLE waiting ENABLE ROW LEVEL SECURITY;

ALTER TABLE waiting FORCE ROW LEVEL SECURITY;

CREATE POLICY to_record ON waiting TO mutuality_recorder USING (true);

CREATE POLICY to_erase ON waiting TO mutuality_keeper USING (true);
