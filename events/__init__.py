"""What may be recorded, and how the log keeps it.

`entries` says what a phone can record, `rules` when it may, `chain` how a stream is sealed,
`streams` how PostgreSQL keeps it. Nothing here knows HTTP, settings or projections.
"""
