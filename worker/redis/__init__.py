"""The map from process instances to threads, the right to use one, and the journal of turns, in Redis."""

from worker.redis.anchors import RedisAnchors
from worker.redis.budgets import RedisBudgets
from worker.redis.connect import open_redis
from worker.redis.feed_counts import RedisFeedCounts
from worker.redis.file_stores import RedisFileStores
from worker.redis.fleet import RedisFleet
from worker.redis.format import RedisFormat
from worker.redis.heartbeat import RedisHeartbeat
from worker.redis.ids import RedisKnownIds
from worker.redis.index import RedisThreadIndex
from worker.redis.inspection import Inspection, RedisInfo, Unusable
from worker.redis.limits import RedisSeats
from worker.redis.orders import RedisOrders
from worker.redis.outages import RedisOutages
from worker.redis.outbox import RedisOutbox
from worker.redis.rates import RedisRates
from worker.redis.stops import RedisStops
from worker.redis.store import RedisThreads
from worker.redis.tickets import RedisTickets
from worker.redis.watching import RedisWatchers, RedisWindows

__all__ = [
    "Inspection",
    "RedisAnchors",
    "RedisBudgets",
    "RedisFeedCounts",
    "RedisFileStores",
    "RedisFleet",
    "RedisFormat",
    "RedisHeartbeat",
    "RedisInfo",
    "RedisKnownIds",
    "RedisOrders",
    "RedisOutages",
    "RedisOutbox",
    "RedisRates",
    "RedisSeats",
    "RedisStops",
    "RedisThreadIndex",
    "RedisThreads",
    "RedisTickets",
    "RedisWatchers",
    "RedisWindows",
    "Unusable",
    "open_redis",
]
