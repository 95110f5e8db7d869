"""HTTP: strict requests, answers, problems, limits."""
