-- What is looked for by an id is found by an index that begins with the id, and no other fits. PostgreSQL multiplies
-- how rare a relationship and a stream are, takes the two for as good as an id, and with an index that begins with them
-- it read a whole stream for each id that was looked for (20 ids among 1,104 events: 7.4 ms instead of 0.1).
ALTER TABLE events
    DROP CONSTRAINT events_relationship_id_stream_id_event_id_key;

ALTER TABLE events
    ADD CONSTRAINT events_by_id UNIQUE (event_id, relationship_id, stream_id);

-- What a member may read stays as it was. Put so, the condition filters what was found, and is no way to find it.
ALTER POLICY own ON heads
    USING ((stream_id = ANY ((SELECT array_agg(stream_id) FROM readers)::uuid[])) IS TRUE);

ALTER POLICY own ON events
    USING ((stream_id = ANY ((SELECT array_agg(stream_id) FROM readers)::uuid[])) IS TRUE);

ALTER POLICY own ON texts
    USING ((stream_id = ANY ((SELECT array_agg(stream_id) FROM readers)::uuid[])) IS TRUE);

ALTER POLICY own ON tallies
    USING ((stream_id = ANY ((SELECT array_agg(stream_id) FROM readers)::uuid[])) IS TRUE);
