"""Measures turns on one kept history that is far longer than its model can read. `python -m tests.benchmarks.long`.

A real Valkey, a model that answers at once and takes its time for summaries. Told is what a turn costs as the history
grows, and how long turns take while their history is folded. Nothing is asserted about speed.
"""

import argparse
import asyncio
import logging
import resource
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import perf_counter

import structlog

from worker.demo.servers import Valkey
from worker.domain.documents import Attachment
from worker.domain.threads import Answer, Assistant, Entered, Question, Remembered, Said, Thread, ThreadKey
from worker.ports.providers import Watcher
from worker.redis import RedisThreads, open_redis
from worker.turn.remembering import SUMMARY_TASK, RememberingProvider

KEY = ThreadKey("bench", "instance", "analyst")
ASSISTANT = Assistant("analyst", "1.0", "m", "local", "Be brief.", timedelta(seconds=60), max_output_tokens=500)
WINDOW = 8000
TEXT = "What speaks for it and what against it, in a few words. " * 18
MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class InstantModel:
    """`ports.providers.Model`: counts its tokens as 4 bytes each."""

    summary_seconds: float
    folding: int = 0
    summaries: int = 0

    async def ask(
        self,
        said: Sequence[Said],
        question: str,
        assistant: Assistant,  # noqa: ARG002 - the port's
        *,
        cache_key: str = "",  # noqa: ARG002 - the port's
        watcher: Watcher | None = None,  # noqa: ARG002 - the port's
        attached: Sequence[Attachment] = (),  # noqa: ARG002 - the port's
    ) -> Answer:
        if question == SUMMARY_TASK:
            self.folding += 1
            self.summaries += 1
            await asyncio.sleep(self.summary_seconds)
            self.folding -= 1
            return Answer("They talked.", input_tokens=1, output_tokens=1)
        read = sum(len(each.text) for each in said) // 4
        return Answer(TEXT, input_tokens=read, output_tokens=len(TEXT) // 4)

    async def ping(self) -> None:
        return


class Free:
    """`ports.providers.Payer` without budgets."""

    async def pay(self, assistant: Assistant, input_tokens: int, call: Callable[[], Awaitable[Answer]]) -> Answer:  # noqa: ARG002 - the port's
        return await call()


@dataclass(slots=True)
class Turns:
    """What each turn took: seconds of processor, and seconds in all; and whether its history was folded meanwhile."""

    cpu: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    beside: list[bool] = field(default_factory=list)


async def measure(count: int, summary_seconds: float, pause: float) -> tuple[Turns, InstantModel]:
    """Take so many turns one after the other."""
    turns, model, tidying = Turns(), InstantModel(summary_seconds), set[asyncio.Task[None]]()
    with Valkey() as valkey:
        async with open_redis(valkey.url(0), connections=4) as redis:
            threads = RedisThreads(redis, prefix="bench", lease=MINUTE, keep=MINUTE, sinks=[])
            provider = RememberingProvider("local", model, threads, WINDOW)
            thread: Thread | None = None
            for number in range(count):
                cpu, began, beside = _cpu(), perf_counter(), model.folding > 0
                entry = await threads.enter(KEY, f"task-{number}")
                assert isinstance(entry, Entered)
                if thread is None:
                    thread = await provider.create_thread(KEY, 1)
                    await threads.bind(entry.hold, thread, 0)
                await threads.intend(entry.hold, 1, MINUTE)
                answer = await provider.ask(KEY, thread, Question(TEXT, "0123456789ab"), ASSISTANT)
                said = Remembered((Said("user", TEXT), Said("assistant", answer.text)))
                await threads.keep_answer(
                    entry.hold, 1, Answer(answer.text, thread=thread), published=True, remembered=said
                )
                turns.cpu.append(_cpu() - cpu)
                turns.seconds.append(perf_counter() - began)
                turns.beside.append(beside or model.folding > 0)
                task = asyncio.create_task(provider.tidy(KEY, thread, ASSISTANT, Free()))
                tidying.add(task)
                task.add_done_callback(tidying.discard)
                await asyncio.sleep(pause)
            await asyncio.gather(*tidying)
    return turns, model


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.long", description=__doc__)
    parser.add_argument("--turns", type=int, default=2000)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))  # folding is no news here
    turns, model = asyncio.run(measure(options.turns, 0.0, 0.0))
    step = max(1, options.turns // 10)
    print(f"{options.turns} turns of {2 * len(TEXT)} bytes, a window of {WINDOW} tokens, {model.summaries} summaries")  # noqa: T201 - a command
    for start in range(0, options.turns, step):
        cpu, seconds = turns.cpu[start : start + step], turns.seconds[start : start + step]
        print(  # noqa: T201 - a command
            f"turns {start + 1:>5} to {start + len(cpu):>5}: {1000 * statistics.mean(cpu):.2f} ms CPU, "
            f"{1000 * statistics.median(seconds):.2f} ms"
        )
    turns, model = asyncio.run(measure(min(options.turns, 200), 0.2, 0.01))
    for what, beside in (("no summary", False), ("a summary", True)):
        taken = [each for each, was in zip(turns.seconds, turns.beside, strict=True) if was is beside]
        if taken:
            print(f"turns beside {what}: {len(taken)}, {1000 * statistics.median(taken):.2f} ms, p50")  # noqa: T201 - a command


if __name__ == "__main__":
    main()
