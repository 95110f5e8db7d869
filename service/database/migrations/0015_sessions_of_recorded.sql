-- Who records must still be signed in: the recorder looks for their session in the statement that looks for their heads.
GRANT SELECT (session_id, member_id) ON sessions TO mutuality_recorder;

CREATE POLICY to_record ON sessions FOR SELECT TO mutuality_recorder USING (true);
