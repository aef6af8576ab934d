"""Cobo OAuth and Cobo Auth for httpx: every request signed, every token fresh.

Pass a ``CoboOAuth`` as ``auth=`` to any httpx client, sync or async, or have it make a client
with ``auth.client()`` or ``auth.async_client()``.
"""

from httpx_cobo_auth._auth.httpx import CoboAuth, CoboOAuth
from httpx_cobo_auth._auth.portal import PortalApp
from httpx_cobo_auth._protocol.records import Trust
from httpx_cobo_auth._protocol.secp256k1 import Secp256k1Signer
from httpx_cobo_auth._protocol.settings import Timeouts
from httpx_cobo_auth._protocol.signing import Ed25519Signer, Signer
from httpx_cobo_auth._protocol.status import TokenStatus
from httpx_cobo_auth._protocol.tokens import Token, TokenState
from httpx_cobo_auth.environment import DEVELOPMENT, PRODUCTION, SANDBOX, Environment
from httpx_cobo_auth.errors import (
    AsyncStoreError,
    CoboAuthError,
    ConfigurationError,
    RedirectedError,
    RenewalTimeoutError,
    ResponseSignatureError,
    SignerError,
    StoreConflictError,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
    TokenEndpointError,
    TokenRefusedError,
    TokenReplyError,
    TokenUnavailableError,
    UnsafeRequestError,
    UnsignableRequestError,
    WrongOriginError,
)
from httpx_cobo_auth.stores import (
    AsyncTokenStore,
    FileStore,
    KeyringStore,
    MemoryStore,
    RedisStore,
    SqlStore,
    TokenStore,
)

__version__ = "0.2.0"  # the only place; pyproject.toml reads it

__all__ = [
    "DEVELOPMENT",
    "PRODUCTION",
    "SANDBOX",
    "AsyncStoreError",
    "AsyncTokenStore",
    "CoboAuth",
    "CoboAuthError",
    "CoboOAuth",
    "ConfigurationError",
    "Ed25519Signer",
    "Environment",
    "FileStore",
    "KeyringStore",
    "MemoryStore",
    "PortalApp",
    "RedirectedError",
    "RedisStore",
    "RenewalTimeoutError",
    "ResponseSignatureError",
    "Secp256k1Signer",
    "Signer",
    "SignerError",
    "SqlStore",
    "StoreConflictError",
    "StoreCorruptError",
    "StoreError",
    "StoreUnavailableError",
    "Timeouts",
    "Token",
    "TokenEndpointError",
    "TokenRefusedError",
    "TokenReplyError",
    "TokenState",
    "TokenStatus",
    "TokenStore",
    "TokenUnavailableError",
    "Trust",
    "UnsafeRequestError",
    "UnsignableRequestError",
    "WrongOriginError",
]
