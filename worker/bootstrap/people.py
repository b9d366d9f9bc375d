"""Who says who a person is, from the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from worker.bootstrap.written import tokens
from worker.domain.people import Right
from worker.errors import Permanent
from worker.ports.people import Issuer
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.web import api


@asynccontextmanager
async def open_issuer(settings: Settings) -> AsyncIterator[Issuer | None]:
    """Make the issuer's client, if there is an issuer; nothing is reached yet. Raises Permanent."""
    if settings.oidc_issuer is None:
        yield None
        return
    try:
        from worker.oidc import OidcIssuer  # noqa: PLC0415 - the extra [oidc] is not installed everywhere
    except ImportError as exc:
        raise Permanent(f"OIDC_ISSUER is set, and {exc.name} is missing: pip install 'assistant-worker[oidc]'") from exc
    async with OidcIssuer.open(settings.oidc_issuer, settings.oidc_audience or "", settings.oidc_ca_file) as issuer:
        yield issuer


def persons(settings: Settings, issuer: Issuer | None) -> "api.Persons | None":
    """Say what the issuer's persons may do. Raises Permanent."""
    from worker.web import api  # noqa: PLC0415 - SQL takes 25 MB, which a worker without a transcript can spare

    if issuer is None:
        return None
    known = api.roles(settings.oidc_roles or "")
    return api.Persons(
        issuer, known, settings.oidc_roles_claim, settings.oidc_tenants_claim, settings.oidc_engine_user_claim
    )


def anybody_may(right: Right, settings: Settings) -> bool:
    """Say whether somebody with a name has a right over the API; nobody has by settings that cannot be read."""
    if not settings.keeps_transcript:
        return False
    from worker.web import api  # noqa: PLC0415 - as above

    try:
        roles = api.roles(settings.oidc_roles or "") if settings.oidc_issuer else {}
        named = [each.rights for each in api.tokens.read(tokens(settings)) if each.person is not None]
    except Permanent:
        return False
    return any(right in rights for rights in [*roles.values(), *named])


def client(settings: Settings, issuer: Issuer | None) -> "api.Client | None":
    """Say how the page logs people in, if it does."""
    from worker.web import api  # noqa: PLC0415 - as above

    if issuer is None or settings.oidc_issuer is None or settings.oidc_client_id is None:
        return None
    return api.Client(issuer, settings.oidc_issuer, settings.oidc_client_id, settings.oidc_scope)
