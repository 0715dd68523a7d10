"""Tokens as uaa hands them out: JWTs by HMAC-SHA-256.

Uaa signs with `jwt.token.signing-key`, the cloud controller checks with `uaa.symmetric_secret`: where
the two differ no token is good, as in the real ones.
"""

import base64
import hmac
import json
from typing import Any


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sign(claims: dict[str, Any], key: bytes) -> str:
    parts = [_encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signature = hmac.digest(key, ".".join(parts).encode(), "sha256")
    return ".".join((*parts, _encode(signature)))


def claims_of(token: str, key: bytes, now: float) -> dict[str, Any] | None:
    """The claims of a token that was signed with this key and has not expired."""
    try:
        signed, _, signature = token.rpartition(".")
        # The signature first: nothing of an unsigned token is worth reading.
        if not hmac.compare_digest(hmac.digest(key, signed.encode(), "sha256"), _decode(signature)):
            return None
        claims = json.loads(_decode(signed.partition(".")[2]))
        return claims if claims["exp"] > now else None
    except (ValueError, KeyError, TypeError):
        return None
