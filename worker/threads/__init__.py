"""The map from process instances to threads, the right to use one, and the journal of turns, in Redis."""

from worker.threads.anchors import RedisAnchors
from worker.threads.census import RedisCensus
from worker.threads.connect import open_redis
from worker.threads.inspection import Inspection, RedisInfo, Unusable
from worker.threads.ledger import RedisLedger
from worker.threads.outbox import RedisOutbox
from worker.threads.store import RedisThreads

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
