"""The map from process instances to threads, the right to use one, and the journal of turns, in Redis."""

from worker.threads.connect import open_redis
from worker.threads.inspection import Inspection, RedisInfo, Unusable
from worker.threads.outbox import RedisOutbox
from worker.threads.store import RedisThreads

__all__ = ["Inspection", "RedisInfo", "RedisOutbox", "RedisThreads", "Unusable", "open_redis"]
