"""When and what a member is asked."""
