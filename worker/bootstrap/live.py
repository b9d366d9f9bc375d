"""What the parts of a worker go by, changed while it works."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.bootstrap.adapters import Adapters, auth, connection
from worker.bootstrap.written import Written
from worker.domain.prices import Prices
from worker.domain.providers import ProviderSpec
from worker.domain.stops import Kind
from worker.engine import RestEngine
from worker.errors import BadDefinition, Permanent, ReadRefused, TaskLost, UnknownAssistant
from worker.loop.dependencies import PROVIDER, Dependencies
from worker.ports.limits import Seats
from worker.runtime.beside import beside
from worker.settings import Settings
from worker.specs import assistants
from worker.turn.charging import Charging
from worker.turn.task_turn import Turn


def names(specs: assistants.Specs, providers: Collection[str]) -> dict[Kind, Collection[str]]:
    """List what can be stopped by a name that has to be known."""
    return {"assistant": {each.name for each in specs.assistants}, "provider": set(providers)}


_LIVE = frozenset(
    {"engine_user", "engine_password", "engine_token", "engine_token_url", "engine_client_id", "engine_client_secret"}
    | {"engine_scope", "engine_audience", "engine_cert_file", "engine_key_file", "openai_api_key", "api_tokens"}
    | {"providers_file", "budgets_file", "assistants_dir"}
)
"""Settings that take effect while the worker runs."""


@dataclass(slots=True)
class Live:
    """What the parts of a worker go by, and can be changed while it runs: all of it at once, or nothing.

    The mappings are those that the parts look into.
    """

    written: Written
    reread: Callable[[], Settings]
    adapters: Adapters
    dependencies: Dependencies
    turn: Turn
    specs: assistants.Current
    names: dict[Kind, Collection[str]]
    prices: dict[str, Prices]
    seats: dict[str, Seats]
    charging: Charging | None
    renewing: Sequence[Callable[[Settings], None]]

    def files(self) -> list[Path]:
        """What is to be looked at."""
        return self.written.files

    async def take(self) -> list[str]:
        """Read everything again and go by it; return what has changed. See `loop.reloading.Reloading`."""
        old, new = self.written, await beside(lambda: Written.read(self.reread()))
        _check_fixed(old, new)
        await _check_named(self.adapters.engine, old.specs, new.specs)
        self.adapters.engine.use(connection(new.settings))  # may raise, so it comes first
        # Nothing raises from here on: what is written was checked as it was read.
        for renew in self.renewing:
            renew(new.settings)
        changed = list(_changed_settings(old.settings, new.settings))
        if auth(old.settings) != auth(new.settings):
            self.dependencies.renew("engine")
        for name, spec in new.providers.items():
            if spec != old.providers[name]:
                self._provider(name, old.providers[name], spec)
                changed.append(f"provider {name}")
        if self.charging is not None and new.limits is not None:
            self.charging.use(new.limits)
            changed += ["budgets"] if new.limits != old.limits else []
        # Turns that are on keep the assistant that they have found.
        self.specs.specs = new.specs
        self.names |= names(new.specs, new.providers)
        changed += _changed_assistants(old.specs, new.specs)
        self.written = new
        return changed

    def _provider(self, name: str, old: ProviderSpec, new: ProviderSpec) -> None:
        connected = self.adapters.providers[name]
        connected.client.use(new)
        self.prices[name] = new.prices
        seats, outages = self.adapters.sharing.of(new)
        if seats is None:
            self.seats.pop(name, None)
        # Seats are an account's: with another key they are others.
        elif old.limits != new.limits or old.key != new.key:
            self.seats[name] = seats
        # What the old key was told, that it has no right or no quota, says nothing of the new one.
        if (old.key, old.headers, old.query) != (new.key, new.headers, new.query):
            if connected.account is not None:
                connected.account.forget()
            self.turn.renew(name)
            self.dependencies.renew(PROVIDER, name, outages)


def _check_fixed(old: Written, new: Written) -> None:
    """Raise Permanent where the worker would have to be connected anew."""
    if (old.limits is None) != (new.limits is None):
        raise Permanent("BUDGETS_FILE: that there are budgets, or none any more, takes a restart")
    if odd := sorted(old.providers.keys() ^ new.providers.keys()):
        raise Permanent(f"PROVIDERS_FILE: a provider that comes or goes takes a restart: {', '.join(odd)}")
    for name, spec in new.providers.items():
        for part in ("api", "base_url", "ca_file", "proxy", "context_tokens", "embeddings", "file_search"):
            if getattr(spec, part) != getattr(old.providers[name], part):
                raise Permanent(f"{spec.words.address}: a change of {part} of the provider {name} takes a restart")


async def _check_named(engine: RestEngine, old: assistants.Specs, new: assistants.Specs) -> None:
    """Raise Permanent if running instances may come to a task whose assistant would be gone; EngineDown, Transient."""
    # Only what is gone can be missed: mostly the engine need not be asked.
    if old.versions <= new.versions:
        return
    for deployed in await engine.deployed():
        if not deployed.instances:
            continue
        try:
            definition = await engine.definition(deployed.id)
        except (BadDefinition, ReadRefused, TaskLost):
            continue  # nobody can be asked for it either
        for activity in definition.activities.values():
            said = activity.properties
            name, version = said.get("service.name", "").strip(), said.get("service.version", "").strip() or None
            if activity.is_ours and _knows(old, name, version) and not _knows(new, name, version):
                what = f"{name} {version}" if version else name
                raise Permanent(
                    f"ASSISTANTS_DIR: {what} is gone, but {deployed.instances} running instances of {deployed.key} "
                    f"version {deployed.version} may come to {activity.id}, which names it; put it back until they end"
                )


def _knows(specs: assistants.Specs, name: str, version: str | None) -> bool:
    try:
        specs.find(name, version)
    except UnknownAssistant:
        return False
    return True


def _changed_settings(old: Settings, new: Settings) -> Iterator[str]:
    for name in Settings.model_fields:
        if getattr(old, name) != getattr(new, name):
            yield name.upper() if name in _LIVE else f"{name.upper()}, which takes effect after a restart"


def _changed_assistants(old: assistants.Specs, new: assistants.Specs) -> list[str]:
    changed = [each for each in old.assistants if each not in new.assistants]
    changed += [each for each in new.assistants if each not in old.assistants]
    return sorted({f"assistant {each.name} {each.version}" for each in changed})
