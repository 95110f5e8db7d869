"""What may be recorded, and how the log keeps it.

`entries` says what a phone can record, `rules` when it may, `chain` how the events of a stream are linked, `encryption`
who can read them; `heads`, `lookups` and `reading` how PostgreSQL keeps them. Nothing here knows HTTP, settings or
projections.
"""
