"""``keep_fresh()``: renews ahead of time, for programs that may send no request for hours."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

from httpx_cobo_auth._protocol.tokens import TokenState
from httpx_cobo_auth._runtime.backends import SyncBackend, resolve
from httpx_cobo_auth._runtime.background import settled, start_renewal
from httpx_cobo_auth._runtime.family import require_client
from httpx_cobo_auth._runtime.performer import Performer
from httpx_cobo_auth._runtime.promises import Promise
from httpx_cobo_auth.errors import CoboAuthError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from httpx_cobo_auth._runtime.backends import Backend, Steps
    from httpx_cobo_auth._runtime.promises import Waiter
    from httpx_cobo_auth._runtime.session import Session

__all__ = ["KeepFresh"]

_logger = logging.getLogger("httpx_cobo_auth")
_LONGEST_PAUSE_S = 30.0
_SHORTEST_PAUSE_S = 1.0
_LOOKS_IN_A_LIFE = 20


class KeepFresh:
    """A context manager, sync and async: tokens are renewed for as long as its block lasts."""

    def __init__(
        self,
        sessions: Callable[[], Iterable[Session]],
        client: Any,  # noqa: ANN401 - of either family, sync or async
        made: Callable[[], Any],
        amade: Callable[[], Any],
    ) -> None:
        """Look after these sessions, by that client or one that is made for it."""
        self._sessions = sessions
        self._given = client
        self._made = made
        self._amade = amade

    def __enter__(self) -> Self:
        """Begin, in a daemon thread."""
        for session in self._sessions():
            session.require_sync()
        self._client: Any = self._chosen("Client", self._made)
        self._begin(SyncBackend(self._client))
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop. A renewal under way is waited for, within a bound."""
        self._watch.stop()
        if self._given is None:
            self._client.close()
        for _ in settled([self._promise], SyncBackend()):
            raise AssertionError  # pragma: no cover - a sync backend has nothing to be awaited

    async def __aenter__(self) -> Self:
        """Begin, in a task of asyncio, or a system task of trio."""
        from httpx_cobo_auth._runtime.async_backend import AsyncBackend  # noqa: PLC0415 - not for sync clients

        self._client = self._chosen("AsyncClient", self._amade)
        self._begin(AsyncBackend(self._client))
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Stop. A renewal under way is waited for, within a bound."""
        from httpx_cobo_auth._runtime.async_backend import AsyncBackend, through  # noqa: PLC0415 - as above

        self._watch.stop()
        if self._given is None:
            await self._client.aclose()
        await through(settled([self._promise], AsyncBackend()))

    def _chosen(self, kind: str, made: Callable[[], Any]) -> Any:  # noqa: ANN401 - of either family
        if self._given is None:
            return made()
        require_client(self._given, kind)
        return self._given

    def _begin(self, backend: Backend) -> None:
        self._promise: Promise[None] = Promise()
        self._watch = _Watch(self._sessions)
        if not backend.start(self._watch, self._promise):
            message = "no thread could be started"
            raise RuntimeError(message)


class _Watch:
    """Looks at the tokens from time to time, until it is stopped."""

    awaits = False

    def __init__(self, sessions: Callable[[], Iterable[Session]]) -> None:
        self._sessions = sessions
        self._stopped = False
        self._waiter: Waiter | None = None
        self._performer: Performer | None = None

    def stop(self) -> None:
        """Have it end; from any thread."""
        self._stopped = True
        waiter = self._waiter
        if waiter is not None:
            waiter.wake()

    def steps(self, backend: Backend) -> Steps[None]:
        """Go on until stopped."""
        while True:
            waiter = self._waiter = backend.waiter()
            pause = _LONGEST_PAUSE_S
            for session in self._sessions():
                if self._stopped:
                    return
                pause = min(pause, (yield from self._look(session, backend)))
            if self._stopped:
                return
            yield from resolve(waiter.wait(pause))

    def _look(self, session: Session, backend: Backend) -> Steps[float]:
        """Renew where that is due, and return the seconds until the next look."""
        performer = self._performer = Performer(session, None, backend, start_renewal)
        flow = session.flow
        try:
            status = flow.status()
            if status.state is TokenState.MISSING:
                # Another process may have stored one. Who has none at all gets none from here.
                status = yield from performer.run(flow.stored_status())
            if status.state in (TokenState.STALE, TokenState.EXPIRED):
                yield from performer.run(flow.token())
                status = flow.status()
        except CoboAuthError:
            return _LONGEST_PAUSE_S  # An event has told of it.
        except Exception as error:  # noqa: BLE001 - a defect, or a store that breaks its contract
            _logger.warning("keep_fresh() met %s, and goes on", type(error).__name__)
            return _LONGEST_PAUSE_S
        if status.expires_at is None:
            return _LONGEST_PAUSE_S
        left = status.expires_at - session.account.clock.time()
        return max(_SHORTEST_PAUSE_S, min(_LONGEST_PAUSE_S, left / _LOOKS_IN_A_LIFE))

    def close(self) -> Callable[[], Any] | None:
        """Give back what is held; returns the release of the store's lock, if that is left."""
        return self._performer.close() if self._performer is not None else None
