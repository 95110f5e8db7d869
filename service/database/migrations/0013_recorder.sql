-- The recorder writes for many members at once, and so sees rows of all; what is said in the ciphertexts it cannot read.
-- To look at what a member refers to it acts for that member alone, as everybody does.
GRANT SELECT (member_id, consent_version) ON members TO mutuality_recorder;

GRANT SELECT (relationship_id, seat, member_id, author_id, private_stream_id) ON memberships TO mutuality_recorder;

GRANT SELECT (relationship_id, state, shared_stream_id) ON relationships TO mutuality_recorder;

-- The right to change one is what holding it needs: who seals holds the relationship.
GRANT UPDATE (created_at) ON relationships TO mutuality_recorder;

GRANT SELECT, UPDATE (version, position, link) ON heads TO mutuality_recorder;

GRANT SELECT (relationship_id, stream, event_id, alters), INSERT ON events TO mutuality_recorder;

-- A page is written anew from what it was.
GRANT SELECT, INSERT, UPDATE (ciphertext) ON pages TO mutuality_recorder;

-- Who records must still be signed in.
GRANT SELECT (session_id, member_id) ON sessions TO mutuality_recorder;

-- An answer is recorded with the prompt that it answers; of a device no more is seen than that it is there.
GRANT SELECT, UPDATE (state, answered_at, late) ON prompts TO mutuality_recorder;

GRANT SELECT, INSERT, DELETE ON outbox TO mutuality_recorder;

GRANT SELECT (member_id, device_id, disabled_at) ON devices TO mutuality_recorder;

GRANT INSERT ON occasions TO mutuality_recorder;

CREATE POLICY to_record ON members TO mutuality_recorder USING (true);

CREATE POLICY to_record ON memberships TO mutuality_recorder USING (true);

CREATE POLICY to_record ON relationships TO mutuality_recorder USING (true);

CREATE POLICY to_record ON heads TO mutuality_recorder USING (true);

CREATE POLICY to_record ON events TO mutuality_recorder USING (true);

CREATE POLICY to_record ON pages TO mutuality_recorder USING (true);

CREATE POLICY to_record ON sessions FOR SELECT TO mutuality_recorder USING (true);

CREATE POLICY to_record ON prompts TO mutuality_recorder USING (true);

CREATE POLICY to_record ON outbox TO mutuality_recorder USING (true);

CREATE POLICY to_record ON devices TO mutuality_recorder USING (true);

CREATE POLICY to_record ON occasions TO mutuality_recorder USING (true);
