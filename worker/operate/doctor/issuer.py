"""The issuer whose tokens say who somebody is."""

from worker.bootstrap.people import open_issuer
from worker.operate.doctor.checks import Check, Finding, Level
from worker.settings import Settings

AREA = "persons"
SUBJECT = "issuer"


def checks(settings: Settings) -> list[Check]:
    """Return the one check; without an issuer there is nothing to say. No task waits for what is wrong there."""

    async def asked() -> list[Finding]:
        async with open_issuer(settings) as issuer:
            # Without a transcript there is no API, and nobody who could log in.
            if issuer is None or not settings.keeps_transcript:
                return []
            await issuer.endpoints()
        return [Finding(AREA, SUBJECT, Level.OK, f"{settings.oidc_issuer} says who it is, and has keys that are taken")]

    advice = "Correct OIDC_ISSUER, OIDC_CA_FILE or the issuer: people who log in there are answered 503 until then."
    return [Check(AREA, SUBJECT, asked, Level.WARNING, advice)]
