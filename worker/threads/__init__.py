"""The map from process instances to threads, the right to use one, and the journal of turns, in Redis."""

from worker.threads.store import RedisThreads, open_redis

__all__ = ["RedisThreads", "open_redis"]
