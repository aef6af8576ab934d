"""``CoboSimulator``: a strict Cobo for tests, in memory and over a loopback socket."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import httpx

from httpx_cobo_auth._protocol.identity import canonical_org_id
from httpx_cobo_auth.environment import Environment
from httpx_cobo_auth.testing._core import Core
from httpx_cobo_auth.testing._expectation import Expectation
from httpx_cobo_auth.testing._faults import Fault, FaultDetails, FaultKind, Hold, Target
from httpx_cobo_auth.testing._messages import signed_message, transaction_event
from httpx_cobo_auth.testing._no_proxy import reached_directly
from httpx_cobo_auth.testing._organizations import Organizations
from httpx_cobo_auth.testing._server import HOST, serving
from httpx_cobo_auth.testing._settings import Credentials
from httpx_cobo_auth.testing._transport import respond, respond_async

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Unpack

    import httpx2

    from httpx_cobo_auth.testing._messages import SignedMessage
    from httpx_cobo_auth.testing._records import Counters, LogEntry

__all__ = ["CoboSimulator"]


@dataclass(kw_only=True, repr=False, eq=False)
class CoboSimulator(Organizations, httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A strict Cobo to test one's own program against; no network, no account, no money.

    It verifies every signature on the bytes that were sent, and nonces as strictly as
    ``check_nonce`` says, rotates tokens as Cobo does, signs its answers, counts, and can be
    told to fail. It is a transport for clients of httpx and of httpx2, sync and async::

        simulator = CoboSimulator()
        auth = CoboOAuth(**simulator.credentials)
        with auth.client(transport=simulator) as client:
            client.get("/wallets")
            simulator.revoke_tokens()
            with simulator.expect(renewals=1, replays=1):
                client.get("/wallets")

    and, for everything else, a server::

        with simulator.serve() as environment:
            ...  # environment.base_url is http://127.0.0.1:<port>/v2

    Paths: ``/v2/oauth/token``, ``/v2/oauth/authorize/jwks.json`` (for anybody),
    ``/v2/wallets`` (GET, POST), ``/v2/wallets/{id}``, ``/v2/wallets/chains``,
    ``/v2/transactions``, ``/v2/transactions/{id}``, ``/v2/transactions/transfer`` (POST), and
    ``/v2/echo``, which takes any method and tells what arrived. A request with a header
    ``X-Expected-Org`` is refused, and counted as ``wrong_org``, if its token belongs to another
    organization.

    The arguments are the fields of ``Settings``, keywords all; the methods may be called
    from any thread.

    Attributes:
        environment: what to hand to the client; the served one while ``serve()`` runs.

    """

    def __post_init__(self) -> None:
        """Open for business, with one organization."""
        self.org_id: str = canonical_org_id(self.org_id)
        self._core = Core(self)
        self._core.waas.add_org(self.org_id)
        self.environment: Environment = self._environment("https://cobo.test/v2")

    def __repr__(self) -> str:
        """Name the address; no secret."""
        return f"<{type(self).__name__} at {self.environment.base_url}>"

    @property
    def counters(self) -> Counters:
        """What has happened so far."""
        return self._core.counters

    @property
    def log(self) -> list[LogEntry]:
        """The last 10,000 requests that arrived, oldest first."""
        with self._core.lock:
            return list(self._core.log)

    @property
    def credentials(self) -> Credentials:
        """What to make a client of, for now, by ``CoboOAuth(**simulator.credentials)``."""
        return Credentials(
            client_id=self.client_id,
            app_secret=self.app_secret,
            org_id=self.org_id,
            environment=self.environment,
            clock=self.clock,
        )

    def expect(
        self, *, renewals: int = 0, replays: int | None = 0, requests: int | None = 1
    ) -> Expectation:
        """Check what arrives while a block runs: so much exactly, and in the right order.

        One renewal, then the replay::

            simulator.revoke_tokens()
            with simulator.expect(renewals=1, replays=1):
                client.get("/wallets")

        Args:
            renewals: exchanges at the token endpoint, the first token's included; each has
                to succeed.
            replays: requests refused (401, or 500 with code 1000) and then sent again,
                unchanged; with a renewal in between, where there is any. ``None`` for any
                number, as of calls side by side. One that is not sent again is never right.
            requests: calls that the block makes; their replays are no further ones. ``None``
                for any number.

        Raises:
            AssertionError: at the end of the block; it tells what arrived, and no secret.

        """
        return Expectation(self._core, renewals, replays, requests)

    # What Cobo sends to an app, and hands to its page

    def webhook(
        self,
        event: object = None,
        *,
        url: str = "https://app.test/webhook",
        age_s: float = 0.0,
        tamper: bool = False,
    ) -> SignedMessage:
        """Make a webhook event or a callback message, signed as Cobo signs it.

        To be posted to one's own app, and verified there by ``callback.verify_signed(body,
        headers, simulator.environment)``::

            body, headers = simulator.webhook({"type": "wallets.transaction.succeeded"})
            client.post("/webhook", content=body, headers=headers)

        Args:
            event: bytes, text, or anything for JSON. Default: the creation of the first
                organization's latest transaction; of one made up if there is none.
            url: where it is sent to, which that event says, too.
            age_s: how many seconds ago it was signed.
            tamper: whether the signature is one over another body.

        """
        at_s = self.clock.time() - age_s
        with self._core.lock:
            if event is None:
                transaction = self._core.waas.latest_transaction(self.org_id)
                event = transaction_event(transaction, url, at_s)
            return signed_message(event, self._core.signer, at_s, tamper=tamper)

    def user_info_token(self, **claims: object) -> str:
        """Issue a User Info Token, the JWT that tells an app who is using its page.

        Its keys are at ``/v2/oauth/authorize/jwks.json``, for anybody. Claims that are given
        come in place of, or beside, ``iss``, ``aud``, ``sub``, ``email``, ``org_id``, ``iat``
        and ``exp`` (in 5 minutes).
        """
        return self._core.user_info.token(claims)

    # Trouble

    def inject(
        self,
        where: str = "api",
        kind: FaultKind = "answer",
        *,
        times: int | None = 1,
        method: str | None = None,
        **details: Unpack[FaultDetails],
    ) -> Fault:
        """Let something go wrong for the next requests that are well signed.

        Kinds, each with ``delay_s`` if wanted:

        - ``answer``: answered with ``status`` (503), ``body``, ``headers``; no effect.
        - ``redirect``: answered with 307 to ``url``; no effect.
        - ``refuse``: no connection (over a socket: reset before anything happens).
        - ``drop``: takes effect, then the connection breaks.
        - ``hang``: takes effect, is never answered. In memory this is a read timeout at
          once; over a socket it lasts until ``remove()``.
        - ``delay``: takes effect, is answered after ``delay_s``.
        - ``tamper``, ``unsigned``: takes effect; the answer's signature is wrong, missing.
        - ``garbage``, ``huge``: takes effect; the body is HTML, or 16 MiB long.

        Args:
            where: ``"token"``, ``"api"``, or how the path begins, such as ``"/v2/wallets"``.
            kind: what goes wrong.
            times: how many requests it meets; ``None`` for all until ``remove()``.
            method: only requests with this method.
            details: the fields of ``FaultDetails``.

        Raises:
            ValueError: ``where`` matches nothing, or a ``refuse`` is to have an effect.

        """
        fault = Fault(Target(where, method), kind, times, details)
        with self._core.lock:
            self._core.plan.faults.append(fault)
        return fault

    def hold(self, where: str = "api", *, method: str | None = None) -> Hold:
        """Stop requests between effect and answer, until ``release()``.

        In memory the client's read timeout counts meanwhile, as over a socket.
        """
        hold = Hold(Target(where, method))
        with self._core.lock:
            self._core.plan.holds.append(hold)
        return hold

    # Ways in

    @contextmanager
    def serve(self, *, port: int = 0) -> Generator[Environment]:
        """Serve on 127.0.0.1 from a background thread; by default on any free port.

        Meanwhile the variable ``NO_PROXY`` exempts that host from the proxies of the environment.
        """
        before = self.environment
        with reached_directly(HOST), serving(self._core.exchange, port) as bound:
            self.environment = self._environment(f"http://{HOST}:{bound}/v2")
            try:
                yield self.environment
            finally:
                self.environment = before

    @overload
    def handle_request(self, request: httpx.Request) -> httpx.Response: ...
    @overload
    def handle_request(self, request: httpx2.Request) -> httpx2.Response: ...
    def handle_request(self, request: Any) -> Any:
        """Serve a sync client of httpx or httpx2."""
        return respond(self._core.exchange, request)

    @overload
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response: ...
    @overload
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response: ...
    async def handle_async_request(self, request: Any) -> Any:
        """Serve an async client of httpx or httpx2, on asyncio or trio."""
        return await respond_async(self._core.exchange, request)

    def _environment(self, base_url: str) -> Environment:
        return Environment("simulator", base_url, self._core.signer.public_key)
