"""The life of the database: its connections, its schema, and the embedded PostgreSQL."""
