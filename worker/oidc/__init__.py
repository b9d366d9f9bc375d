"""Issuers of OpenID Connect, which say who a person is."""

from worker.oidc.issuer import OidcIssuer

__all__ = ["OidcIssuer"]
