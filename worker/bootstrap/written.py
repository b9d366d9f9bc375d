"""What people write: settings, and the files that these name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from worker.decisions import keys
from worker.decisions.keys import SigningKey
from worker.domain import deployed
from worker.domain.budgets import Budgets
from worker.domain.providers import ProviderSpec
from worker.ending import Policy
from worker.engine import classic
from worker.errors import Permanent
from worker.settings import Settings, variables
from worker.specs import assistants, budgets, providers
from worker.turn.request import Rules


def check(settings: Settings) -> None:
    """Raise Permanent where what is set could not be used, by the rules of those who use it; nothing is reached."""
    record_key(settings)
    classic.load(settings.handlers)
    if settings.keeps_transcript:
        from worker.web import api  # noqa: PLC0415 - SQL takes 25 MB, which a worker without a transcript can spare

        access = api.Access.of(tokens(settings))
        if settings.oidc_issuer is None:
            access.check_host(settings.api_host)
        else:
            api.roles(settings.oidc_roles or "")


def tokens(settings: Settings) -> str:
    """Return the tokens of the API as they are written; empty without any."""
    return settings.api_tokens.get_secret_value() if settings.api_tokens else ""


def record_key(settings: Settings) -> SigningKey | None:
    """Read the key that signs records of decisions; None without one. Raises Permanent, which quotes nothing of it."""
    if settings.record_key is None:
        return None
    try:
        return keys.read_private(settings.record_key.get_secret_value())
    except Permanent as exc:
        name = "RECORD_KEY_FILE" if "RECORD_KEY" in settings.secret_files else "RECORD_KEY"
        raise Permanent(f"{name}: {exc}") from None


def rules(settings: Settings) -> Rules:
    """Pick what a turn obeys."""
    return Rules(
        engine_name=settings.engine_name,
        strict=settings.thread_validation == "strict",
        retries=settings.retries,
        trouble_limit=settings.trouble_for,
        lease=settings.lock,
        input_tokens=settings.input_tokens,
    )


def policy(settings: Settings) -> Policy:
    """Pick what ends when."""
    kept = (settings.retention_threads, settings.retention_record, settings.retention_transcript)
    return Policy(*kept, chats=settings.retention_chats, decisions=settings.retention_decisions)


@dataclass(frozen=True, slots=True)
class Written:
    """What people have written: settings, and the files that these name, which may change while the worker runs."""

    settings: Settings
    providers: Mapping[str, ProviderSpec]
    specs: assistants.Specs
    limits: Budgets | None

    @classmethod
    def read(cls, settings: Settings) -> Self:
        """Read what the settings name. Raises Permanent, with every mistake and its line."""
        check(settings)
        known = provider_specs(settings)
        allowed(settings, known)
        specs = assistants.load(settings.assistants_dir, known)
        return cls(settings, known, specs, budget_limits(settings, specs, known))

    @property
    def files(self) -> list[Path]:
        """All of these files."""
        chosen = self.settings
        named = (chosen.engine_cert_file, chosen.engine_key_file, chosen.providers_file, chosen.budgets_file)
        of_providers = [file for each in self.providers.values() for file in each.files]
        files = [chosen.assistants_dir, *chosen.secret_files.values(), *of_providers, *named]
        return [each for each in files if each is not None]


def provider_specs(settings: Settings) -> Mapping[str, ProviderSpec]:
    """Say which providers there are: those of the file, or the one of the settings. Raises Permanent."""
    if settings.providers_file is not None:
        return providers.load(settings.providers_file, variables())
    key = settings.openai_api_key
    spec = ProviderSpec(key=key.get_secret_value() if key else None, base_url=settings.openai_base_url)
    return {spec.name: spec}


def allowed(settings: Settings, known: Mapping[str, ProviderSpec]) -> deployed.Allowed:
    """Read what assistants of deployments may ask. Raises Permanent where it names a provider that there is not."""
    said = deployed.allowed(settings.deployed_assistants)
    for provider, model in said.models:
        if provider not in known:
            there = ", ".join(sorted(known))
            raise Permanent(f"DEPLOYED_ASSISTANTS: of {provider}/{model} the provider is unknown; there are: {there}")
    return said


def budget_limits(settings: Settings, specs: assistants.Specs, known: Mapping[str, ProviderSpec]) -> Budgets | None:
    """Read what calls may take; None without a file. Raises Permanent, also where a call has no bound."""
    if settings.budgets_file is None:
        return None
    limits = budgets.load(settings.budgets_file)
    budgets.check(limits, specs.assistants, known)
    return limits
