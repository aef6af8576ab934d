"""What the package tells a program: tokens, events, errors. For type checkers alone: never run."""

from __future__ import annotations

from typing import assert_never, assert_type

from httpx_cobo_auth import (
    DEVELOPMENT,
    PRODUCTION,
    SANDBOX,
    AsyncStoreError,
    CoboAuthError,
    CoboOAuth,
    ConfigurationError,
    Environment,
    RedirectedError,
    RenewalTimeoutError,
    ResponseSignatureError,
    StoreConflictError,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
    Timeouts,
    Token,
    TokenEndpointError,
    TokenRefusedError,
    TokenReplyError,
    TokenUnavailableError,
    UnsafeRequestError,
    UnsignableRequestError,
    WrongOriginError,
)
from httpx_cobo_auth.callback import Approval, ApprovalCallback, ApprovalResult
from httpx_cobo_auth.events import (
    ContentionSuspected,
    Event,
    RenewalFailed,
    SaveFailed,
    TokenAcquired,
    TokenChanged,
    TokenRenewed,
    TokenTakenOver,
)

for environment in (PRODUCTION, DEVELOPMENT, SANDBOX):
    assert_type(environment, Environment)
    assert_type((environment.name, environment.base_url), tuple[str, str])
    assert_type(environment.response_key, str | None)


def token(token: Token) -> None:
    """A frozen value."""
    assert_type((token.access_token, token.refresh_token), tuple[str, str | None])
    assert_type((token.expires_at, token.obtained_at, token.lifetime), tuple[float, float, float])
    assert_type((token.scope, token.token_type), tuple[str, str])
    token.access_token = ""  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # ty: ignore[invalid-assignment]


def event(event: Event) -> None:
    """What happened, by kind."""
    assert_type((event.base_url, event.client_id, event.org_id), tuple[str, str, str])
    assert_type(event.at, float)
    if isinstance(event, TokenChanged):
        assert_type((event.generation, event.expires_at), tuple[int, float])
    match event:
        case TokenAcquired() | TokenRenewed() | TokenTakenOver():
            assert_type(event.generation, int)
        case RenewalFailed(error=error, still_usable=still_usable):
            assert_type(error, CoboAuthError)
            assert_type(still_usable, bool)
        case SaveFailed(error=error, generation=generation):
            assert_type(error, CoboAuthError)
            assert_type(generation, int)
        case ContentionSuspected(hold_off=hold_off):
            assert_type(hold_off, float)
        case _:
            pass


def listening() -> None:
    """Who may listen."""
    CoboOAuth(client_id="c", app_secret="", org_id="o", environment="dev", on_event=print)
    CoboOAuth(client_id="c", app_secret="", org_id="o", environment="dev", on_event=event)
    CoboOAuth(client_id="c", app_secret="", org_id="o", environment="dev", on_event=token)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]


def errors(auth: CoboOAuth) -> None:
    """One tree; fields where the token endpoint has said something."""
    try:
        auth.forget()
    except (TokenRefusedError, TokenReplyError, TokenEndpointError, RenewalTimeoutError) as error:
        unavailable: TokenUnavailableError = error
        assert_type((error.status, error.error_code), tuple[int | None, int | None])
        assert_type((error.error, error.error_description), tuple[str | None, str | None])
        assert_type((error.error_message, error.error_id), tuple[str | None, str | None])
        assert_type(error.retry_after, float | None)
        raise unavailable from None
    except (StoreConflictError, StoreCorruptError, StoreUnavailableError) as error:
        of_a_store: StoreError = error
        raise of_a_store from None
    except (WrongOriginError, UnsignableRequestError) as error:
        unsafe: UnsafeRequestError = error
        raise unsafe from None
    except AsyncStoreError as error:
        setting: ConfigurationError = error
        value: ValueError = error
        raise setting from value
    except (RedirectedError, ResponseSignatureError) as error:
        any_of_them: CoboAuthError = error
        raise any_of_them from None


def callback(parameters: dict[str, str]) -> float | None:
    """What Cobo calls."""
    approval = ApprovalCallback(known={"o"}.__contains__).take(parameters)
    assert_type(approval, Approval | None)
    if approval is None:
        return None
    assert_type(approval.org_id, str)
    match approval.result:
        case ApprovalResult.INSTALLED:
            return None
        case ApprovalResult.CHANGED:
            return approval.renew_in
        case _:
            assert_never(approval.result)


timeouts = Timeouts(exchange=5, early_exchange=5, request=1.5, drain=1, lock=7.5, grace=0)
assert_type(timeouts.exchange, float)
Timeouts(5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # ty: ignore[too-many-positional-arguments]
