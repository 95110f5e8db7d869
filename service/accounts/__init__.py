"""Signing in, sessions, and what a member says of themselves."""
