"""Erasing what an author has said: the event stays, and so does the chain."""

from uuid import UUID

from events.heads import DbConnection

ERASE = """
UPDATE events
SET ciphertext = NULL
WHERE relationship_id = $1
    AND author = $2
    AND ciphertext IS NOT NULL
"""


async def erase_texts(db: DbConnection, relationship_id: UUID, seat: int) -> None:
    """Take away what an author has said, whose key is destroyed besides. The heads must be locked."""
    await db.execute(ERASE, relationship_id, seat)
