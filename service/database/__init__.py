"""The life of PostgreSQL: pools, group commit, schema and roles, the embedded server, what its outages look like.

Enters: a DSN or a data folder; submissions to be committed in groups.
Leaves: connections that act as one role each; a migrated schema.
Writes: `schema_migrations`.
Never imports: any other room but `core` and `errors`; no web framework.
"""
