"""The gateway's one Redis: how it is reached, and what its silence means."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.contracts.errors import Unavailable

PREFIX = "textpro:{sessions}:"  # in a Redis cluster the braces keep all keys in one slot, as the scripts need
TIMEOUT_S = 2.0


def connect(url: str, *, max_connections: int) -> Redis:
    """Connects on first use. Raises ValueError for a URL that is none."""
    return Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        max_connections=max_connections,
        retry=Retry(NoBackoff(), 1),  # once, for a pooled connection that a restarted Redis has closed
    )


@contextmanager
def answering() -> Iterator[None]:
    """Raises Unavailable when Redis does not answer."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable(
            f"the session store (Redis) does not answer: {type(error).__name__} (TEXTPRO_REDIS_URL)", retry_after_s=1
        ) from error
