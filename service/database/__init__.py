"""PostgreSQL: connection pools, group commit, schema and roles, the embedded server, which errors mean an outage.

Enters: a DSN or a data folder; submissions to be committed in groups.
Leaves: connections that act as one role each; a migrated schema.
Writes: `schema_migrations`.
Never imports: any other room but `core` and `errors`; no web framework.
"""
