"""What the driver raises while the database is away, and where its rows are not what they were."""

import asyncpg

# What means that the database cannot be reached or cannot work just now: nothing was recorded, trying again may help.
DATABASE_UNAVAILABLE: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the driver says of a connection that was ended under it
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,  # somebody else holds a row for longer than anybody waits
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, before it takes over
    asyncpg.PostgresSystemError,  # its disk fails
)
# What means that rows are not what they were: found damaged, or at odds with what is to be recorded.
DATA_CORRUPTED: tuple[type[Exception], ...] = (
    asyncpg.DataCorruptedError,
    asyncpg.IndexCorruptedError,
    asyncpg.UniqueViolationError,
)
