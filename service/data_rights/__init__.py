"""Taking everything along, and being erased."""
