"""The one number by which workers of several versions know whether they can share what is kept."""

FORMAT = 1
"""Of everything that Redis and the transcript keep for one engine.

A version that only adds (a field, a key, a column, a table) keeps the number: older workers leave alone what they do
not know. One that changes what is there counts it up. The number is noted for each engine in both stores; a worker that
meets a higher one takes no tasks.
"""
