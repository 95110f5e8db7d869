"""What entries say lies encrypted beside their events, so that it can be deleted while the chain stays whole."""

from uuid import UUID

from events.heads import DbConnection

ERASE = """
DELETE FROM texts
WHERE relationship_id = $1
    AND author_id = $2
"""


async def erase_texts(db: DbConnection, relationship_id: UUID, author_id: UUID) -> None:
    """Delete what an author has said; that they said something, and the chain, stay. The heads must be locked."""
    await db.execute(ERASE, relationship_id, author_id)
