"""What programs are written against: names, arguments, errors."""

# ruff: noqa: ANN401 - arguments of wrong types are what is tested

from __future__ import annotations

import copy
import importlib
import inspect
import math
import pickle
import re
import subprocess
import sys
import traceback
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest

import httpx_cobo_auth
from httpx_cobo_auth import (
    DEVELOPMENT,
    PRODUCTION,
    AsyncStoreError,
    AsyncTokenStore,
    CoboAuth,
    CoboAuthError,
    CoboOAuth,
    ConfigurationError,
    Ed25519Signer,
    Environment,
    MemoryStore,
    PortalApp,
    Signer,
    Timeouts,
    TokenRefusedError,
    TokenStore,
    TokenUnavailableError,
    errors,
    events,
    stores,
)
from httpx_cobo_auth import httpx2 as over_httpx2

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version
    from httpx_cobo_auth.testing import CoboSimulator

SECRET = "06f78882576ec0e05b1e51a33548da7e8cf958c190ba96be77b1c671f98a2b5f"
ORG = "e3986401-4aec-480a-973d-e775a4518413"

EXPORTED = [
    *("DEVELOPMENT", "PRODUCTION", "SANDBOX"),
    *("AsyncStoreError", "AsyncTokenStore", "CoboAuth", "CoboAuthError", "CoboOAuth"),
    *("ConfigurationError", "Ed25519Signer", "Environment", "FileStore", "KeyringStore"),
    *("MemoryStore", "PortalApp", "RedirectedError", "RedisStore", "RenewalTimeoutError"),
    *("ResponseSignatureError", "Secp256k1Signer", "Signer", "SignerError", "SqlStore"),
    *("StoreConflictError", "StoreCorruptError"),
    *("StoreError", "StoreUnavailableError", "Timeouts", "Token", "TokenEndpointError"),
    *("TokenRefusedError", "TokenReplyError", "TokenState", "TokenStatus", "TokenStore"),
    *("TokenUnavailableError", "Trust"),
    *("UnsafeRequestError", "UnsignableRequestError", "WrongOriginError"),
]


# -------------------------------------------------------------------------------------- names
class TestNames:
    def test_the_package_exports_these(self) -> None:
        """Who adds or takes away a name notices it here."""
        assert httpx_cobo_auth.__all__ == EXPORTED
        assert all(hasattr(httpx_cobo_auth, name) for name in EXPORTED)

    def test_the_family_of_httpx2_exports_these(self) -> None:
        """The three classes that are bound to a family; everything else is the same."""
        assert over_httpx2.__all__ == ["CoboAuth", "CoboOAuth", "PortalApp"]
        assert issubclass(over_httpx2.CoboOAuth, httpx2.Auth)
        assert issubclass(over_httpx2.CoboAuth, httpx2.Auth)
        assert not issubclass(over_httpx2.CoboOAuth, httpx.Auth)
        assert issubclass(CoboOAuth, httpx.Auth)
        assert issubclass(CoboAuth, httpx.Auth)

    def test_without_httpx2_its_namespace_says_which_extra_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the error of a module that is missing, so that programs can ask for it."""
        monkeypatch.setitem(sys.modules, "httpx2", None)
        monkeypatch.delitem(sys.modules, "httpx_cobo_auth.httpx2")
        with pytest.raises(ModuleNotFoundError, match=r"httpx-cobo-auth\[httpx2\]") as missing:
            importlib.import_module("httpx_cobo_auth.httpx2")
        assert missing.value.name == "httpx2"

    def test_what_a_store_keeps_can_be_imported_by_its_old_name(self) -> None:
        """The very same classes."""
        old = importlib.import_module("httpx_cobo_auth.records")
        for name in old.__all__:
            assert getattr(old, name) is getattr(stores, name)

    def test_events_and_simulator_have_modules_of_their_own(self) -> None:
        """``on_event`` gets the one kind, tests are written with the other."""
        assert {name for name in events.__all__ if name != "Event"} == {
            *("TokenChanged", "TokenAcquired", "TokenRenewed", "TokenTakenOver"),
            *("RenewalFailed", "SaveFailed", "ContentionSuspected"),
            *("RenewalAwaited", "RequestReplayed", "RequestRefused"),
        }
        testing = importlib.import_module("httpx_cobo_auth.testing")
        assert set(testing.__all__) == {
            *("CoboSimulator", "Counters", "Credentials", "Expectation", "Fault", "FaultDetails"),
            *("FaultKind", "Hold", "IssuedToken", "LogEntry", "ManualClock", "SignedMessage"),
            "StoreContract",
        }

    @pytest.mark.parametrize(
        ("name", "parameters"),
        [
            ("client", ["options"]),
            ("async_client", ["options"]),
            ("token", ["client"]),
            ("renew", ["client"]),
            ("forget", []),
            ("atoken", ["client"]),
            ("arenew", ["client"]),
            ("aforget", []),
        ],
    )
    def test_the_methods_of_an_auth(self, name: str, parameters: list[str]) -> None:
        """Sync and async, on both families."""
        for kind in (CoboOAuth, over_httpx2.CoboOAuth):
            method = getattr(kind, name)
            assert list(inspect.signature(method).parameters) == ["self", *parameters]
            assert inspect.iscoroutinefunction(method) == (name in {"atoken", "arenew", "aforget"})

    def test_importing_it_takes_no_extra(self) -> None:
        """Neither httpx2, nor keyring, nor redis, nor pytest; not even the simulator."""
        code = (
            "import sys, httpx_cobo_auth\n"
            "unwanted = {'httpx2', 'keyring', 'redis', 'pytest', 'trio'}\n"
            "unwanted.add('httpx_cobo_auth.testing')\n"
            "assert not unwanted & sys.modules.keys(), unwanted & sys.modules.keys()\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


# -------------------------------------------------------------------------------------- objects
def oauth(**changes: Any) -> CoboOAuth:
    arguments: dict[str, Any] = {
        "client_id": "app",
        "app_secret": SECRET,
        "org_id": ORG,
        "environment": "dev",
    }
    return CoboOAuth(**{**arguments, **changes})


def portal(**changes: Any) -> PortalApp:
    arguments: dict[str, Any] = {"client_id": "app", "app_secret": SECRET, "environment": "dev"}
    return PortalApp(**{**arguments, **changes})


class TestObjects:
    def test_an_auth_says_whose_it_is(self) -> None:
        """Attributes and repr; nothing of the key."""
        auth = oauth()
        assert (auth.client_id, auth.org_id, auth.environment) == ("app", ORG, DEVELOPMENT)
        assert repr(auth) == f"CoboOAuth(client_id='app', org_id='{ORG}', environment='dev')"
        assert repr(CoboAuth(api_secret=SECRET, environment="prod")) == (
            "CoboAuth(environment='prod')"
        )
        assert CoboAuth(api_secret=SECRET, environment="prod").environment is PRODUCTION
        assert repr(portal()) == "PortalApp('dev', organizations=0)"

    @pytest.mark.hazard(35)
    def test_an_app_hands_out_one_auth_for_each_organization(self) -> None:
        """Each its own token; key, store and options are the app's."""
        store = MemoryStore()
        app = portal(store=store, replay_writes=True, timeouts=Timeouts(exchange=5))
        one, two = app.org("one"), app.org("two")
        assert app.org("one") is one
        assert (one.org_id, two.org_id) == ("one", "two")
        assert one.client_id == two.client_id == "app"
        assert one.environment is app.environment is DEVELOPMENT
        assert one._session.account is not two._session.account
        assert one._session._store is two._session._store is store
        assert one._session.settings.replay_writes
        assert one._session.wire is two._session.wire
        assert repr(app) == "PortalApp('dev', organizations=2)"
        assert type(over_httpx2.PortalApp(**APP).org("x")) is over_httpx2.CoboOAuth

    @pytest.mark.hazard(76)
    def test_an_organization_in_capitals_is_the_same(self) -> None:
        """A UUID has one spelling here: one account, and one token."""
        app, one = portal(), str(uuid.UUID(int=2**127 + 0xABC))
        assert app.org(one.upper()) is app.org(uuid.UUID(one)) is app.org(one)
        assert app.org(one.upper()).org_id == one

    def test_objects_of_one_store_share_what_they_know(self) -> None:
        """Gate and state belong to store, environment, client and organization."""
        store = MemoryStore()
        first, second = oauth(store=store), oauth(store=store)
        assert first._session.account is second._session.account
        assert first._session.permits is second._session.permits
        for other in (oauth(), oauth(store=store, org_id="x"), oauth(store=store, client_id="x")):
            assert other._session.account is not first._session.account

    def test_the_environment_gives_what_cobos_tools_use(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """``COBO_APP_CLIENT_ID``, ``COBO_APP_SECRET``, ``COBO_ENV``."""
        monkeypatch.setenv("COBO_APP_CLIENT_ID", "from-env")
        monkeypatch.setenv("COBO_APP_SECRET", SECRET)
        monkeypatch.setenv("COBO_ENV", "prod")
        store = MemoryStore()
        auth = CoboOAuth.from_env(org_id=ORG, store=store)
        assert (auth.client_id, auth.org_id, auth.environment) == ("from-env", ORG, PRODUCTION)
        assert auth._session._store is store
        app = PortalApp.from_env(store=store)
        assert app.environment is PRODUCTION
        assert app.org(ORG)._session.account is auth._session.account
        assert isinstance(over_httpx2.CoboOAuth.from_env(org_id=ORG), httpx2.Auth)

    def test_an_environment_of_ones_own_takes_the_place_of_cobo_env(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """``COBO_ENV`` knows three names only, and a test's simulator has none of them."""
        monkeypatch.setenv("COBO_APP_CLIENT_ID", "from-env")
        monkeypatch.setenv("COBO_APP_SECRET", SECRET)
        own = Environment("own", "https://cobo.test/v2")
        for value in ("prod", ""):
            monkeypatch.setenv("COBO_ENV", value)
            assert CoboOAuth.from_env(org_id=ORG, environment=own).environment is own
            assert PortalApp.from_env(environment=own).environment is own

    @pytest.mark.parametrize("names", [("COBO_ENV",), ("COBO_APP_CLIENT_ID", "COBO_APP_SECRET")])
    @pytest.mark.parametrize("value", [None, ""])
    def test_what_is_not_set_is_named(
        self, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], value: str | None
    ) -> None:
        """All of it at once, and nothing of what is set."""
        for name in ("COBO_APP_CLIENT_ID", "COBO_APP_SECRET", "COBO_ENV"):
            monkeypatch.setenv(name, SECRET if name == "COBO_APP_SECRET" else "dev")
        for name in names:
            if value is None:
                monkeypatch.delenv(name)
            else:
                monkeypatch.setenv(name, value)
        for make in (lambda: CoboOAuth.from_env(org_id=ORG), PortalApp.from_env):
            with pytest.raises(ConfigurationError, match=f"^set {' and '.join(names)} in") as no:
                make()
            assert SECRET not in str(no.value)

    @pytest.mark.hazard(37)
    def test_a_bad_value_from_the_environment_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And the secret is shown nowhere, though it passes through."""
        monkeypatch.setenv("COBO_APP_CLIENT_ID", "app")
        monkeypatch.setenv("COBO_APP_SECRET", SECRET)
        monkeypatch.setenv("COBO_ENV", "staging")
        for make in (lambda: CoboOAuth.from_env(org_id=ORG), PortalApp.from_env):
            with pytest.raises(ConfigurationError, match="prod, dev, sandbox") as refused:
                make()
            assert SECRET not in locals_of(refused.value)

    def test_the_protocols_tell_who_keeps_them(self) -> None:
        """A store or a signer of one's own needs no base class."""
        assert isinstance(MemoryStore(), TokenStore)
        assert isinstance(AwaitedStore(), AsyncTokenStore)
        assert isinstance(Ed25519Signer(SECRET), Signer)
        assert not isinstance(SECRET, Signer)
        assert not isinstance({}, TokenStore)


APP: dict[str, Any] = {"client_id": "app", "app_secret": SECRET, "environment": "dev"}


class AwaitedStore:
    """An async store of a program's own."""

    shared = False

    def __init__(self) -> None:
        self._store = MemoryStore()

    async def load(self, key: StoreKey) -> Record | None:
        return self._store.load(key)

    async def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        self._store.save(key, record, expected=expected)

    async def try_lock(self, key: StoreKey, *, ttl: float) -> Any:
        raise NotImplementedError


def locals_of(error: BaseException) -> str:
    recorded = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "\n".join(str(frame.locals) for frame in recorded.stack if "test_" not in frame.filename)


# ---------------------------------------------------------------------------------- bad arguments
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "client_id empty": ({"client_id": ""}, "client_id"),
    "client_id None": ({"client_id": None}, "client_id"),
    "client_id bytes": ({"client_id": b"app"}, "client_id"),
    "client_id with a line break": ({"client_id": "a\nb"}, "client_id"),
    "environment": ({"environment": "staging"}, "prod, dev, sandbox"),
    "environment None": ({"environment": None}, "prod, dev, sandbox"),
    "environment URL": ({"environment": "https://api.cobo.com/v2"}, "prod, dev, sandbox"),
    "app_secret": ({"app_secret": "short"}, "64 hex digits"),
    "store path": ({"store": "/some/where"}, "store"),
    "store dict": ({"store": {}}, "store"),
    "store class": ({"store": MemoryStore}, "store"),
    "replay_writes": ({"replay_writes": "no"}, "replay_writes"),
    "replay_writes int": ({"replay_writes": 1}, "replay_writes"),
    "verify_responses": ({"verify_responses": "yes"}, "verify_responses"),
    "on_event": ({"on_event": "print"}, "on_event"),
    "timeouts": ({"timeouts": 5}, "timeouts"),
    "timeouts of httpx": ({"timeouts": httpx.Timeout(5)}, "timeouts"),
    "clock": ({"clock": 5}, "clock"),
}


class TestBadArguments:
    @pytest.mark.parametrize("name", BAD)
    @pytest.mark.parametrize("make", [oauth, portal], ids=["CoboOAuth", "PortalApp"])
    def test_each_is_refused_at_once(self, name: str, make: Any) -> None:
        """A typed error that says which, also where no type checker looked; no secret in it."""
        changes, said = BAD[name]
        with pytest.raises(ConfigurationError, match=said) as refused:
            make(**changes)
        assert isinstance(refused.value, ValueError)
        assert SECRET not in locals_of(refused.value)

    def test_a_uuid_is_one_organization_however_it_is_given(self) -> None:
        """As text of any spelling, or as an object."""
        whose = uuid.UUID("e3986401-4aec-480a-973d-e775a4518413")
        for given in (whose, str(whose), whose.hex, str(whose).upper()):
            assert oauth(org_id=given).org_id == str(whose)
        app = portal()
        assert app.org(whose) is app.org(whose.hex)

    @pytest.mark.parametrize("org_id", ["", None, 7, b"x", "a\tb", "\u200b"])
    def test_an_organization_has_a_name(self, org_id: Any) -> None:
        """Of the class and of the app."""
        with pytest.raises(ConfigurationError, match="org_id"):
            oauth(org_id=org_id)
        with pytest.raises(ConfigurationError, match="org_id"):
            portal().org(org_id)

    @pytest.mark.parametrize("make", [oauth, portal], ids=["CoboOAuth", "PortalApp"])
    def test_a_misspelt_option_is_not_overlooked(self, make: Any) -> None:
        """``verify_response=True`` must not mean that nothing is verified."""
        with pytest.raises(TypeError, match=r"unexpected.*verify_response'"):
            make(verify_response=True)
        with pytest.raises(TypeError, match=r"unexpected.*secret") as refused:
            make(secret=SECRET)
        assert SECRET not in locals_of(refused.value)

    @pytest.mark.parametrize("changes", [{"api_secret": "x"}, {"environment": "x"}, {"clock": 5}])
    def test_those_of_cobo_auth_are_refused_too(self, changes: dict[str, Any]) -> None:
        """The same checks."""
        arguments: dict[str, Any] = {"api_secret": SECRET, "environment": "dev", **changes}
        with pytest.raises(ConfigurationError):
            CoboAuth(**arguments)

    @pytest.mark.hazard(4, 5)
    @pytest.mark.parametrize("name", ["auth", "base_url", "follow_redirects"])
    def test_what_makes_a_client_safe_is_not_chosen(self, name: str) -> None:
        """The error says which option."""
        auth: Any = oauth()
        for make in (auth.client, auth.async_client):
            with pytest.raises(ConfigurationError, match=f"^{name} cannot be chosen"):
                make(**{name: None})
        with pytest.raises(ConfigurationError, match="auth and base_url cannot"):
            auth.client(base_url="https://evil.example", auth=None)

    @pytest.mark.hazard(1)
    @pytest.mark.parametrize(
        "name", ["exchange", "early_exchange", "request", "drain", "lock", "grace"]
    )
    @pytest.mark.parametrize("value", [-1, -0.001, math.nan, math.inf, "5", None, True])
    def test_time_limits_are_finite_seconds(self, name: str, value: Any) -> None:
        """No limit is no limit; some may be none at all, an exchange takes time."""
        with pytest.raises(ConfigurationError, match=name):
            Timeouts(**{name: value})
        if name in {"exchange", "early_exchange", "request"}:
            with pytest.raises(ConfigurationError, match=name):
                Timeouts(**{name: 0})
        else:
            Timeouts(**{name: 0})

    @pytest.mark.parametrize("client", [None, "client", httpx.AsyncClient, object()])
    def test_a_token_is_got_by_a_client(self, client: Any) -> None:
        """Of the right kind, and an object."""
        for method in (oauth().token, oauth().renew):
            with pytest.raises(ConfigurationError, match="expected a Client"):
                method(client)

    async def test_a_task_gets_its_token_by_an_async_client(self, simulator: CoboSimulator) -> None:
        """The other way round it is refused as well."""
        auth = oauth()
        with httpx.Client(transport=simulator) as client:
            wrong: Any = client
            for method in (auth.atoken, auth.arenew):
                with pytest.raises(ConfigurationError, match="expected a AsyncClient"):
                    await method(wrong)
        async with httpx.AsyncClient(transport=simulator) as async_client:
            other: Any = async_client
            with pytest.raises(ConfigurationError, match="expected a Client"):
                auth.token(other)

    def test_a_sync_client_gets_no_async_store(self, simulator: CoboSimulator) -> None:
        """It could not await it; before anything is sent."""
        auth = oauth(store=AwaitedStore(), environment=simulator.environment)
        with auth.client(transport=simulator) as client:
            uses: list[Callable[[], object]] = [
                lambda: client.get("/wallets"),
                lambda: auth.token(client),
                lambda: auth.renew(client),
                auth.forget,
            ]
            for use in uses:
                with pytest.raises(AsyncStoreError, match="TokenStore"):
                    use()
        assert simulator.counters.requests == simulator.counters.exchanges == 0


# -------------------------------------------------------------------------------------- errors
def drawn() -> dict[str, str]:
    """Return each class of the tree in the docstring, with its parent."""
    lines = [
        line for line in (errors.__doc__ or "").splitlines() if re.search(r"(──|    Cobo)", line)
    ]
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in lines:
        match = re.search(r"[A-Z]\w+", line)
        assert match is not None
        depth, name = match.start(), match.group()
        while path and path[-1][0] >= depth:
            path.pop()
        parents[name] = path[-1][1] if path else "Exception"
        path.append((depth, name))
    return parents


ERRORS = [getattr(errors, name) for name in errors.__all__]


class TestErrors:
    def test_the_tree_is_as_it_is_drawn(self) -> None:
        """In the docstring of the module, where everybody looks."""
        found = {kind.__name__: kind.__mro__[1].__name__ for kind in ERRORS}
        assert drawn() == found
        assert len(found) == len(errors.__all__) > 15

    def test_there_is_no_error_outside_of_the_tree(self) -> None:
        """Every error of ours is one of these, and exported."""
        assert all(issubclass(kind, CoboAuthError) for kind in ERRORS)
        assert set(errors.__all__) <= set(httpx_cobo_auth.__all__)
        assert not issubclass(CoboAuthError, httpx.HTTPError)
        assert issubclass(ConfigurationError, ValueError)
        assert [kind for kind in ERRORS if not kind.__doc__] == []

    @pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
    def test_a_copy_is_equal_without_traceback(self, kind: type[CoboAuthError]) -> None:
        """Each of many waiters raises one of its own; a pickle crosses processes."""
        fields: dict[str, Any] = {
            "status": 503,
            "error": "e",
            "error_description": "d",
            "error_code": 1,
            "error_message": "m",
            "error_id": "i",
            "retry_after": 7.0,
        }
        detailed = issubclass(kind, TokenUnavailableError)
        error = kind("what happened", **fields) if detailed else kind("what happened")
        with pytest.raises(kind):
            raise error from ValueError("why")
        for twin in (
            copy.copy(error),
            copy.deepcopy(error),
            *(pickle.loads(pickle.dumps(error, p)) for p in range(6)),  # noqa: S301
        ):
            assert twin is not error
            assert type(twin) is kind
            assert (twin.args, vars(twin)) == (error.args, vars(error))
            assert str(twin) == "what happened"
            assert (twin.__traceback__, twin.__cause__, twin.__context__) == (None, None, None)
        assert error.__traceback__ is not None
        if detailed:
            assert vars(error) == fields

    def test_fields_that_nothing_was_said_about_are_none(self) -> None:
        """So that a handler can look at all of them."""
        assert set(vars(TokenRefusedError("x")).values()) == {None}


def test_an_environment_needs_no_name_of_ours() -> None:
    """One's own environment is used as it is."""
    mine = Environment("mine", "http://127.0.0.1:8000/v2")
    assert oauth(environment=mine).environment is mine
