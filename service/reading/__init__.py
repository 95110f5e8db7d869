"""What a phone looks at."""
