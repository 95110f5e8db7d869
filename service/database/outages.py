"""Which of the driver's exceptions mean that the database is unavailable, and which that its data are corrupted."""

import asyncpg

# It cannot be reached or cannot work just now: nothing was recorded, trying again may help.
DATABASE_UNAVAILABLE: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the connection was ended while it was in use
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,  # another transaction holds a row for longer than the timeout
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, before it takes over
    asyncpg.PostgresSystemError,  # its disk fails
)
# Rows are damaged, or contradict what is to be recorded.
DATA_CORRUPTED: tuple[type[Exception], ...] = (
    asyncpg.DataCorruptedError,
    asyncpg.IndexCorruptedError,
    asyncpg.UniqueViolationError,
)
