"""Two people become linked, and one of them leaves."""
