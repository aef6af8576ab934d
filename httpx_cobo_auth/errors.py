"""Every error that this package raises, as one tree.

An own base, not httpx's, so that it is the same tree over httpx and httpx2::

    CoboAuthError
    ├── ConfigurationError            a setting cannot be used (also a ValueError)
    │   └── AsyncStoreError           an async store was given to a sync client
    ├── UnsafeRequestError            nothing was sent; the request must not be signed
    │   ├── WrongOriginError          it would carry credentials to another origin
    │   └── UnsignableRequestError    what would be signed is not what would be sent
    ├── SignerError                   the signer failed; nothing was sent
    ├── RedirectedError               credentials travelled along with a redirect
    ├── ResponseSignatureError        an answer is not signed by Cobo's key
    ├── TokenUnavailableError         no usable Org Access Token can be had
    │   ├── TokenRefusedError         Cobo refuses to issue one: somebody has to act
    │   ├── TokenEndpointError        no usable answer: down, limited, lost, broken
    │   │   └── TokenReplyError       an answer that breaks the protocol
    │   └── RenewalTimeoutError       waited too long for somebody else's renewal
    └── StoreError
        ├── StoreUnavailableError     the store, or its lock, cannot be reached
        ├── StoreCorruptError         what is stored cannot be understood; it was kept
        └── StoreConflictError        the record moved on since it was read

No error holds a token or a key, in its message or in its fields. ``copy.copy`` gives an
equal error without traceback, so that each of many waiters can raise one of its own.
"""

from __future__ import annotations

__all__ = [
    "AsyncStoreError",
    "CoboAuthError",
    "ConfigurationError",
    "RedirectedError",
    "RenewalTimeoutError",
    "ResponseSignatureError",
    "SignerError",
    "StoreConflictError",
    "StoreCorruptError",
    "StoreError",
    "StoreUnavailableError",
    "TokenEndpointError",
    "TokenRefusedError",
    "TokenReplyError",
    "TokenUnavailableError",
    "UnsafeRequestError",
    "UnsignableRequestError",
    "WrongOriginError",
]


class CoboAuthError(Exception):
    """Base of every error of this package."""


class ConfigurationError(CoboAuthError, ValueError):
    """A setting cannot be used. The message says what was expected, never what a secret was."""


class AsyncStoreError(ConfigurationError):
    """An ``AsyncTokenStore`` was given to a sync client, which cannot await it."""


class UnsafeRequestError(CoboAuthError):
    """The request must not be signed. Nothing was sent."""


class WrongOriginError(UnsafeRequestError):
    """The request goes to another origin than the environment's. Nothing was sent."""


class UnsignableRequestError(UnsafeRequestError):
    """What would be signed could differ from what would be sent. Nothing was sent."""


class SignerError(CoboAuthError):
    """The signer failed, such as a KMS that cannot be reached. Nothing was sent."""


class RedirectedError(CoboAuthError):
    """A redirect was followed and took credentials along; the token is treated as exposed.

    httpx follows redirects below its auth layer, so this can only be noticed afterwards.
    ``auth.client()`` and ``auth.async_client()`` never follow one.
    """


class ResponseSignatureError(CoboAuthError):
    """An answer is unsigned, or signed by another key than Cobo's for this environment."""


class TokenUnavailableError(CoboAuthError):
    """No usable Org Access Token can be had.

    The fields repeat what the token endpoint said; each is ``None`` where it said nothing.

    Attributes:
        status: HTTP status of the answer.
        error: OAuth's error name (4XX).
        error_description: OAuth's error description (4XX).
        error_code: Cobo's error code (5XX).
        error_message: Cobo's error description (5XX).
        error_id: Cobo's error log ID (5XX); quote it to Cobo's support.
        retry_after: seconds after which another attempt makes sense.

    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        error: str | None = None,
        error_description: str | None = None,
        error_code: int | None = None,
        error_message: str | None = None,
        error_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.error_description = error_description
        self.error_code = error_code
        self.error_message = error_message
        self.error_id = error_id
        self.retry_after = retry_after


class TokenRefusedError(TokenUnavailableError):
    """Cobo refuses to issue a token; the message says who has to do what about it."""


class TokenEndpointError(TokenUnavailableError):
    """The token endpoint gave no usable answer: it is down, limits, or the answer was lost."""


class TokenReplyError(TokenEndpointError):
    """The token endpoint's answer breaks the protocol. Its body is not repeated anywhere."""


class RenewalTimeoutError(TokenUnavailableError):
    """Somebody else's renewal, or the store's lock, took longer than the time limit."""


class StoreError(CoboAuthError):
    """A token store failed."""


class StoreUnavailableError(StoreError):
    """The store, or its lock, cannot be reached."""


class StoreCorruptError(StoreError):
    """What is stored cannot be understood. It was left as it is, for a person to look at."""


class StoreConflictError(StoreError):
    """The stored record is not the one that was to be replaced; nothing was saved."""
