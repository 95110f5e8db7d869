"""What `python -m service` can do."""
