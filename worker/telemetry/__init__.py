"""What the worker tells of itself: log events and metrics, both closed lists."""
