"""What an answer cost, by the price of the day on which it came."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from worker.domain.prices import Prices
from worker.domain.threads import Answer, Assistant
from worker.telemetry import metrics


def priced(answer: Answer, assistant: Assistant, prices: Mapping[str, Prices]) -> Answer:
    """Note on an answer that just came what it cost, and count what it took. `prices` by provider.

    Counted under the names of the spec: those that a provider answers with have no bound.
    """
    cost = prices.get(assistant.provider, Prices()).cost(answer, assistant.model)
    whose = assistant.name, assistant.model
    for direction, tokens in {"input": answer.input_tokens, "output": answer.output_tokens}.items():
        if tokens:
            metrics.of(metrics.TOKENS, direction, *whose).inc(tokens)
    details = {
        "cached": answer.cached_tokens,
        "cache_write": answer.cache_write_tokens,
        "reasoning": answer.reasoning_tokens,
    }
    for detail, tokens in details.items():
        if tokens:
            metrics.of(metrics.TOKEN_DETAILS, detail, *whose).inc(tokens)
    if cost is None:
        metrics.of(metrics.UNPRICED, *whose).inc()
    else:
        metrics.COST.labels(cost.currency, *whose).inc(float(Decimal(cost.amount)))
    return answer if cost is None else replace(answer, cost=cost)
