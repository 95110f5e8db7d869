"""Who may ask: HTTP, sessions, relationships, recording, settings and the life of the database.

No SQL over events, no rules and no statistics here: those are in `events` and `projections`.
"""
