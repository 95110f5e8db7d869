"""Who is calling, and what they may see: bearers, members, consent, memberships, readers of a relationship.

Enters: a request with its access token, a relationship's id.
Leaves: `Member`, `Bearer`, `Membership`, the `Reader` that projections read for; or NotSignedIn, NotFound.
Writes: no table.
Never imports: a room that records, reads or links; it answers no call by itself.
"""
