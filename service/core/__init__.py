"""What everything may use and what knows nothing of the rest: time, chance, tokens, mail, networks."""
