"""Keys: where they lie, what they wrap, what they encrypt."""
