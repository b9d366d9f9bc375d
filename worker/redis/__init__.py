"""The map from process instances to threads, the right to use one, and the journal of turns, in Redis."""

from worker.redis.anchors import RedisAnchors
from worker.redis.census import RedisCensus
from worker.redis.connect import open_redis
from worker.redis.inspection import Inspection, RedisInfo, Unusable
from worker.redis.ledger import RedisLedger
from worker.redis.outbox import RedisOutbox
from worker.redis.store import RedisThreads

__all__ = [
    "Inspection",
    "RedisAnchors",
    "RedisCensus",
    "RedisInfo",
    "RedisLedger",
    "RedisOutbox",
    "RedisThreads",
    "Unusable",
    "open_redis",
]
