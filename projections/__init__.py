"""What the log means: tallies, balances, trends, perspectives, requests and the feed.

One module answers one question, read from top to bottom. The result struct is the answer body.
"""
