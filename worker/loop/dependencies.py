"""What the worker cannot work without. While one is away nothing is fetched, and one probe decides when to go on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import Context
from typing import Self

import structlog

from worker.domain.outages import Outage
from worker.errors import EngineDenied, WorkerError
from worker.loop.breakers import LOOK_SECONDS, Breaker, told
from worker.ports.outages import Outages
from worker.runtime.clock import monotonic
from worker.runtime.pauses import growing
from worker.telemetry import metrics
from worker.telemetry.logs import Event, trace

PROVIDER = "provider"
LONGEST_PAUSE_SECONDS = 30.0
SHORTEST_PAUSE_SECONDS = 0.5
DENIED_PAUSE_SECONDS = 300.0
"""Pause after a refused password: engines slow an account down with every wrong one, and lock it after ten."""
STEADY_SECONDS = 60.0
"""How long a dependency must have been up for its next trouble to count as a new one."""

log = structlog.get_logger()


class NotProbedYet(WorkerError):
    """How every dependency begins."""


class Dependency:
    """One of them. `probe` returns when it can be used, and raises a WorkerError when not.

    `on_trial`: its probe works again after trouble, but no turn has shown yet that it does what the worker needs. A
    provider, for one, answers the probe and refuses every call while the account's quota is used up.

    With a `breaker` all workers share what they find, and one of them probes.
    """

    def __init__(self, name: str, probe: Callable[[], Awaitable[None]], breaker: Breaker | None = None) -> None:
        self.name = name
        self._breaker = breaker
        self.trouble: str | None = None
        self.on_trial = False
        self._probe = probe
        self._failures = 0
        self._up_since = 0.0
        self._kind: type[Exception] | None = None
        self._found: Exception | None = None

    def note(self, error: Exception, *, heard: bool = False) -> bool:
        """Note trouble; True if it is new. Neither flapping nor a failed trial starts the growing pauses over.

        `heard`: another worker has found it.
        """
        if self.trouble is not None:
            return False
        if not self.on_trial and monotonic() - self._up_since > STEADY_SECONDS:
            self._failures = 0
        self._have(error, heard=heard)
        metrics.PAUSED.labels(self.name).set(1)
        return True

    async def hear(self) -> Outage | None:
        """Return what other workers have found, if anything."""
        return None if self._breaker is None else await self._breaker.look()

    @property
    def is_unknown(self) -> bool:
        """Whether it has not been probed since the worker began."""
        return self._kind is NotProbedYet and self.trouble is not None

    async def recover(self, probed: Callable[[], None]) -> None:
        """Probe with growing pauses until it works, here or at another worker; `probed` hears of probes that fail."""
        while await self._is_to_probe(probed):
            first, longest = SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
            if self._kind is EngineDenied:
                first = longest = DENIED_PAUSE_SECONDS
            await asyncio.sleep(growing(first, self._failures, longest))
            self._failures = min(self._failures + 1, 10)
            error = await self._examine()
            if error is None:
                if self._breaker is not None:
                    await self._breaker.over()
                break
            if type(error) is not self._kind:  # another kind of trouble; texts carry request ids and always differ
                log.error(Event.DEPENDENCY_DOWN, dependency=self.name, reason=str(error))
            self._have(error)
            if self._breaker is not None:
                await self._breaker.failed(error)
            probed()
        self.trouble = None
        # At the start, and with a new secret, nothing bad is known that a single task would have to disprove.
        self.on_trial = self._kind is not NotProbedYet
        self._up_since = monotonic()
        metrics.PAUSED.labels(self.name).set(0)

    async def _is_to_probe(self, probed: Callable[[], None]) -> bool:
        """Wait until this worker is the one to probe; False if another has found meanwhile that it works."""
        if self._breaker is None:
            return True
        if self._kind is NotProbedYet:
            outage = await self._breaker.look()
            if outage is None:
                return True
            self._have(told(outage), heard=True)
            probed()
        probes = await self._breaker.to_probe(self._found, self._failures)
        self._failures = min(max(self._failures, self._breaker.tries + (not probes)), 10)
        return probes

    def _have(self, error: Exception, *, heard: bool = False) -> None:
        self.trouble, self._kind, self._found = str(error), type(error), None if heard else error

    def forget(self, outages: Outages | None) -> None:
        """Go by nothing that was found by a secret that has been replaced: the next probe tells, and comes soon."""
        if self.trouble is not None:
            self._failures, self._kind, self._found = 0, NotProbedYet, None
        if self._breaker is not None and outages is not None:
            self._breaker.use(outages)

    def was_up(self, since: float) -> bool:
        """Whether nothing was wrong with it from then, monotonic seconds, until now."""
        return self.trouble is None and self._up_since <= since

    async def _examine(self) -> Exception | None:
        """Say what is wrong. A probe that breaks in an unforeseen way must not end the probing."""
        try:
            await self._probe()
        except WorkerError as exc:
            return exc
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is in the log, and the next probe may work
            return RuntimeError(f"the probe failed: {trace(exc)}")
        return None


Probes = Mapping[str, Callable[[], Awaitable[None]]]


class Dependencies:
    """All of them, by name. Use as an async context manager: it owns the probes.

    Of several `providers` one that is away stops its own assistants' tasks alone; the others go on. By `breakers` they
    are shared with other workers.
    """

    def __init__(
        self, probes: Probes, providers: Probes | None = None, breakers: Mapping[str, Breaker] | None = None
    ) -> None:
        breakers = breakers or {}
        self._providers = {
            name: Dependency(
                PROVIDER if providers and len(providers) == 1 else f"{PROVIDER} {name}", probe, breakers.get(name)
            )
            for name, probe in (providers or {}).items()
        }
        vital = [Dependency(name, probe) for name, probe in probes.items()]
        self._vital = vital + (list(self._providers.values()) if len(self._providers) == 1 else [])
        self._all = {each.name: each for each in [*vital, *self._providers.values()]}
        self._recoveries: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Take nothing for granted: each is probed before the first fetch."""
        for dependency in self._all.values():
            dependency.note(NotProbedYet("not probed yet"))
            self._start(dependency)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the probes."""
        for recovery in self._recoveries.values():
            recovery.cancel()
        await asyncio.gather(*self._recoveries.values(), return_exceptions=True)

    def down(self, name: str, error: Exception, provider: str | None = None) -> None:
        """Stop fetching until this dependency answers its probe; of the dependency `provider` say which one."""
        dependency = self._providers.get(provider or "") if name == PROVIDER else None
        dependency = dependency or self._all[name]
        if dependency.note(error):
            log.error(Event.DEPENDENCY_DOWN, dependency=dependency.name, reason=str(error))
            self._start(dependency)

    def renew(self, name: str, provider: str | None = None, outages: Outages | None = None) -> None:
        """Probe at once if it is away: it is asked by another secret now, of which nothing bad is known.

        `outages` are what workers tell each other who ask by that one.
        """
        dependency = self._providers[provider] if provider is not None else self._all[name]
        if dependency.trouble is not None:
            # It may sleep for minutes, or be in the middle of a probe by the old secret.
            self._recoveries[dependency.name].cancel()
        dependency.forget(outages)
        if dependency.trouble is not None:
            self._start(dependency)

    async def watch(self) -> None:
        """Hear every few seconds what other workers have found; ends when it is cancelled."""
        while True:
            await asyncio.gather(*map(self._hear, self._providers.values()))
            await asyncio.sleep(LOOK_SECONDS)

    async def _hear(self, dependency: Dependency) -> None:
        outage = await dependency.hear()
        # Found by a worker with the same key: a call from here would meet the same, and cost a task to find it out.
        if outage is not None and dependency.note(told(outage), heard=True):
            log.error(Event.DEPENDENCY_DOWN, dependency=dependency.name, reason=dependency.trouble)
            self._start(dependency)

    def reasons(self) -> list[str]:
        """Say what is wrong with each dependency without which nothing goes on."""
        return _troubles(self._stopping())

    def partly(self) -> list[str]:
        """Say what is wrong with each that is away while others of its kind go on."""
        return _troubles(each for each in self._all.values() if each not in self._stopping())

    def trouble_of(self, provider: str) -> str | None:
        """Say what is wrong with a provider."""
        return self._providers[provider].trouble

    def is_up(self, name: str) -> bool:
        """Whether nothing is wrong with a dependency."""
        return self._all[name].trouble is None

    @property
    def on_trial(self) -> bool:
        """Whether a single task is to show first that what was away does its work again."""
        return any(each.on_trial for each in self._vital)

    def passed(self, since: float) -> None:
        """End the trial by a turn that began then (monotonic seconds), unless something has gone down meanwhile."""
        if all(each.was_up(since) for each in self._vital):
            for each in self._vital:
                each.on_trial = False

    async def all_up(self) -> None:
        """Return when everything works that is needed: of several providers one, and it is known of all of them."""
        while self._stopping():
            self._news.clear()
            await self._news.wait()

    async def up_but_models(self) -> None:
        """Return when everything works that tasks need which ask no model."""
        while self._is_down_but_for_models():
            self._news.clear()
            await self._news.wait()

    @property
    def only_models_away(self) -> bool:
        """Whether nothing but that no provider can be asked keeps tasks from being done."""
        return bool(self._stopping()) and not self._is_down_but_for_models()

    def _is_down_but_for_models(self) -> bool:
        providers = self._providers.values()
        return any(each.trouble is not None for each in self._vital if each not in providers)

    def _stopping(self) -> list[Dependency]:
        """Those that are away and stop everything."""
        vital = [each for each in self._vital if each.trouble is not None]
        away = [each for each in self._providers.values() if each.trouble is not None]
        all_away = len(away) == len(self._providers)
        return vital + [each for each in away if (all_away or each.is_unknown) and each not in vital]

    def _start(self, dependency: Dependency) -> None:
        # It is nobody's: neither its lines nor its requests belong to the task that has met the trouble.
        self._recoveries[dependency.name] = asyncio.create_task(
            self._recover(dependency), name=f"probe {dependency.name}", context=Context()
        )

    async def _recover(self, dependency: Dependency) -> None:
        await dependency.recover(self._news.set)
        self._news.set()
        log.info(Event.DEPENDENCY_UP, dependency=dependency.name)


def _troubles(dependencies: Iterable[Dependency]) -> list[str]:
    return [f"{each.name}: {each.trouble}" for each in dependencies if each.trouble is not None]
