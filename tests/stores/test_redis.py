"""``RedisStore`` against a real server: stopped, restarted, paused, and in all its kinds."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import redis
import redis.asyncio
import redis.cluster
import redis.sentinel

from httpx_cobo_auth import (
    ConfigurationError,
    RedisStore,
    StoreConflictError,
    StoreCorruptError,
    StoreUnavailableError,
    Timeouts,
)
from httpx_cobo_auth._protocol.records import PendingExchange, StoreKey
from httpx_cobo_auth.events import RenewalFailed
from tests.family import CoboOAuth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from httpx_cobo_auth.events import Event
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock
    from tests.stores.conftest import MakesRecords, RedisServer

NONE = (0, None)


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[RedisStore]:
    store = RedisStore(redis_server.url, timeout=0.5)
    yield store
    store.close()


def untyped(client: Any) -> Any:  # noqa: ANN401 - redis-py's types are partial
    return client


def use(store: RedisStore, key: StoreKey, make_record: MakesRecords) -> None:
    """Do all that a store does."""
    hold = store.try_lock(key, ttl=60)
    assert hold
    assert store.try_lock(key, ttl=60) is None
    assert store.load(key) is None
    store.save(key, make_record(1), expected=NONE)
    with pytest.raises(StoreConflictError):
        store.save(key, make_record(2), expected=NONE)
    store.save(key, make_record(2), expected=(1, None))
    assert store.load(key) == make_record(2)
    hold.release()
    hold = store.try_lock(key, ttl=60)
    assert hold
    hold.release()


# ------------------------------------------------------------------------- on the server
def test_keys_have_the_prefix_and_one_slot(
    redis_server: RedisServer, key: StoreKey, make_record: MakesRecords
) -> None:
    """So that one ACL pattern covers them, and a cluster can run a script on them."""
    store = RedisStore(redis_server.url, prefix="my-app")
    store.save(key, make_record(), expected=NONE)
    hold = store.try_lock(key, ttl=60)
    assert hold
    with redis_server.client() as client:
        names = sorted(name.decode() for name in client.scan_iter())
    hold.release()
    store.close()
    assert [name.rpartition(":")[2] for name in names] == ["lock", "token"]
    assert all(name.startswith("my-app:{") for name in names)
    assert len({name[name.index("{") : name.index("}")] for name in names}) == 1


@pytest.mark.hazard(13)
def test_the_lock_lapses_on_the_server(
    redis_server: RedisServer, store: RedisStore, key: StoreKey
) -> None:
    """Not before what its owner counts on."""
    hold = store.try_lock(key, ttl=60)
    assert hold
    with redis_server.client() as client:
        [name] = client.keys()
        assert hold.remaining() * 1000 < client.pttl(name) <= 60_000
        assert hold.remaining() > 58
        client.set(name, "somebody else")
        hold.release()
        assert client.get(name) == b"somebody else"
        assert hold.remaining() == 0.0


def test_a_lower_generation_is_never_saved(
    store: RedisStore, key: StoreKey, make_record: MakesRecords
) -> None:
    """Not even by who expects the stored version; what is stored stays."""
    store.save(key, make_record(2), expected=NONE)
    with pytest.raises(StoreConflictError):
        store.save(key, make_record(1), expected=(2, None))
    assert store.load(key) == make_record(2)


class LosesAnswers:
    """A client whose connection breaks after the server has done what it was asked for."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401
        self.client = client
        self.lose = ""

    def eval(self, script: str, numkeys: int, /, *arguments: Any) -> Any:  # noqa: ANN401
        result = self.client.eval(script, numkeys, *arguments)
        if self.lose and self.lose in script:
            self.lose = ""
            return self.client.eval(script, numkeys, *arguments)
        return result


@pytest.mark.parametrize("lost", ["'hset'", "'NX'", "'del'"])
def test_a_script_that_is_repeated_does_no_harm(
    redis_server: RedisServer, key: StoreKey, make_record: MakesRecords, lost: str
) -> None:
    """Clients repeat what they have no answer to; the first time may have had its effect."""
    with redis_server.client() as client:
        flaky = LosesAnswers(client)
        flaky.lose = lost
        use(RedisStore(flaky), key, make_record)
        assert not flaky.lose


@pytest.mark.hazard(13)
def test_who_lost_the_lock_overwrites_nothing(
    store: RedisStore, key: StoreKey, make_record: MakesRecords
) -> None:
    """The comparison is on the server, and knows the note of who came next."""
    mine, theirs = (
        make_record(0).with_pending(PendingExchange(owner, 1.0)) for owner in ("mine", "theirs")
    )
    store.save(key, mine, expected=NONE)
    store.save(key, theirs, expected=(0, "mine"))
    with pytest.raises(StoreConflictError):
        store.save(key, make_record(1), expected=(0, "mine"))
    assert store.load(key) == theirs


# ------------------------------------------------------------------------- corrupt, kept
@pytest.mark.hazard(21)
def test_what_cannot_be_understood_is_kept(
    redis_server: RedisServer, store: RedisStore, key: StoreKey, make_record: MakesRecords
) -> None:
    """Five damages: reading and saving name them, show nothing, and leave the key byte for byte."""
    store.save(key, make_record(1), expected=NONE)
    with redis_server.client() as client:
        [name] = client.keys()
        good: dict[bytes, bytes] = client.hgetall(name)
        damages: dict[str, Callable[[], object]] = {
            "not JSON": lambda: client.hset(name, "record", b"\xff5ec2e7"),
            "version does not fit": lambda: client.hset(name, "version", "7:"),
            "is not JSON": lambda: client.hdel(name, "record"),
            "digest": lambda: client.hset(name, "record", good[b"record"].replace(b"-1", b"-2")),
            "not what this package stores": lambda: client.set(name, "5ec2e7"),
        }
        for about, damage in damages.items():
            client.delete(name)
            client.hset(name, mapping=good)
            damage()
            before = client.dump(name)
            attempts: list[Callable[[], object]] = [
                lambda: store.load(key),
                lambda: store.save(key, make_record(2), expected=(1, None)),
                lambda: store.save(key, make_record(2), expected=NONE),
            ]
            for attempt in attempts:
                with pytest.raises(StoreCorruptError, match=about) as caught:
                    attempt()
                assert "5ec2e7" not in str(caught.value)
            assert client.dump(name) == before


def test_a_record_in_another_ones_place_is_not_listed(
    store: RedisStore, redis_server: RedisServer, key: StoreKey, make_record: MakesRecords
) -> None:
    """Nobody's token is shown for another's."""
    store.save(key, make_record(), expected=NONE)
    assert store.keys() == [key]
    with redis_server.client() as client:
        [name] = client.keys()
        client.rename(name, name.replace(b"{", b"{x"))
    assert store.keys() == []


@pytest.mark.parametrize("wrong", ["version", "type"])
def test_what_is_damaged_between_reading_and_saving_is_kept(
    redis_server: RedisServer, key: StoreKey, make_record: MakesRecords, wrong: str
) -> None:
    """The script that saves looks for itself: it raises the error of a corrupt store."""
    with redis_server.client() as client:

        class Damaging(LosesAnswers):
            def eval(self, script: str, numkeys: int, /, *arguments: Any) -> Any:  # noqa: ANN401
                if "'hset'" in script and wrong == "type":
                    self.client.set(arguments[0], "text")
                elif "'hset'" in script:
                    self.client.hset(arguments[0], "version", "nonsense")
                return self.client.eval(script, numkeys, *arguments)

        with pytest.raises(StoreCorruptError, match="not what this package stores"):
            RedisStore(Damaging(client)).save(key, make_record(1), expected=NONE)


def test_a_client_that_decodes_is_as_good(
    redis_server: RedisServer, key: StoreKey, make_record: MakesRecords
) -> None:
    """``decode_responses=True`` changes nothing; bytes that it cannot decode are a typed error."""
    with untyped(redis.Redis).from_url(redis_server.url, decode_responses=True) as client:
        store = RedisStore(client)
        use(store, key, make_record)
        [name] = client.keys()
        with redis_server.client() as raw:
            raw.hset(name, "record", b"\xff")
        with pytest.raises(StoreUnavailableError, match="UnicodeDecodeError"):
            store.load(key)
        store.close()
        assert client.ping()


# ------------------------------------------------------------------------- Redis is gone
@pytest.mark.hazard(13)
def test_a_server_that_is_gone_is_a_typed_error_in_time(
    start_redis: Callable[..., RedisServer], key: StoreKey, make_record: MakesRecords
) -> None:
    """Stopped: at once. Paused: within the time limit. Back again: nothing was lost."""
    server = start_redis()
    store = RedisStore(server.url, timeout=0.3)
    hold = store.try_lock(key, ttl=60)
    assert hold
    store.save(key, make_record(1), expected=NONE)

    def everything_fails() -> None:
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="Redis cannot be used"):
            store.load(key)
        with pytest.raises(StoreUnavailableError) as caught:
            store.save(key, make_record(2), expected=(1, None))
        assert "5ec2e7" not in shown(caught.value)
        with pytest.raises(StoreUnavailableError):
            store.try_lock(key, ttl=60)
        assert time.monotonic() - begun < 3

    with server.paused():
        everything_fails()
    assert store.load(key) == make_record(1)
    server.stop()
    everything_fails()
    server.start()
    assert store.load(key) == make_record(1)
    assert store.try_lock(key, ttl=60) is None
    store.close()


def taken_soon(store: RedisStore, key: StoreKey) -> None:
    deadline = time.monotonic() + 5
    while (hold := store.try_lock(key, ttl=60)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    hold.release()


def test_what_a_hanging_server_does_late_is_taken_back(
    redis_server: RedisServer, store: RedisStore, key: StoreKey, other_key: StoreKey
) -> None:
    """It takes a lock that was given up, and it has not released another: nobody has them."""
    hold = store.try_lock(other_key, ttl=60)
    assert hold
    with redis_server.paused():
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                store.try_lock(key, ttl=60)
        hold.release()
    taken_soon(store, key)
    taken_soon(store, other_key)


def test_what_lapses_anyway_is_not_taken_back_for_ever(
    redis_server: RedisServer, store: RedisStore, key: StoreKey
) -> None:
    """The answer to a lock was lost: the thread that takes it back ends when the lock does."""
    threads = threading.active_count()
    with redis_server.paused():
        with pytest.raises(StoreUnavailableError):
            store.try_lock(key, ttl=0.1)
        deadline = time.monotonic() + 10
        while threading.active_count() > threads:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    taken_soon(store, key)


def shown(error: BaseException | None) -> str:
    """Show the error as a tracker with locals would, from the package on."""
    text = ""
    while error is not None:
        report = traceback.TracebackException.from_exception(error, capture_locals=True)
        text += str(error) + "".join(
            f"{frame.locals}" for frame in report.stack if "test_redis" not in frame.filename
        )
        error = error.__cause__ or error.__context__
    return text


@pytest.mark.anyio
async def test_a_working_token_goes_on_while_redis_hangs(
    redis_server: RedisServer,
    simulator: CoboSimulator,
    clock: ManualClock,
    anyio_backend: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And one that does not is a typed error, in time; when it is back, all is well.

    The lock that was asked for in vain is taken, once the server goes on; nobody waits for
    it to lapse.
    """
    # Handlers of logs block event loops; whose they are decides.
    monkeypatch.setattr(logging.getLogger("httpx_cobo_auth"), "disabled", True)
    events: list[Event] = []
    failed = anyio.Event()

    def note(event: Event) -> None:
        events.append(event)
        if isinstance(event, RenewalFailed):
            failed.set()

    store = RedisStore(redis_server.url, prefix=anyio_backend, timeout=0.2)
    auth = CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=simulator.environment,
        store=store,
        timeouts=Timeouts(grace=0.0),
        on_event=note,
        clock=clock,
    )
    async with auth.async_client(transport=simulator) as client:
        assert (await client.get("/wallets")).status_code == 200
        clock.advance(simulator.token_lifetime - 60)
        with redis_server.paused():
            with anyio.fail_after(3):
                for _ in range(5):
                    assert (await client.get("/wallets")).status_code == 200
                await failed.wait()  # the renewal fails by itself; nobody waits for it
                assert (await client.get("/wallets")).status_code == 200
            assert [type(event).__name__ for event in events[1:]] == ["RenewalFailed"]
            clock.advance(61)
            with anyio.fail_after(5), pytest.raises(StoreUnavailableError):
                await client.get("/wallets")
        clock.advance(60)
        with anyio.fail_after(5):
            assert (await client.get("/wallets")).status_code == 200
    assert simulator.counters.spent_refresh_reused == 0
    await anyio.to_thread.run_sync(store.close)


def test_one_store_serves_any_number_of_loops_and_threads(
    redis_server: RedisServer, simulator: CoboSimulator, clock: ManualClock
) -> None:
    """Two threads with two event loops each, one after the other, and two without: one token."""
    store = RedisStore(redis_server.url)
    auth = CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=simulator.environment,
        store=store,
        clock=clock,
    )
    statuses: list[int] = []

    async def ask() -> None:
        async with (
            auth.async_client(transport=simulator) as client,
            anyio.create_task_group() as tg,
        ):

            async def one() -> None:
                statuses.append((await client.get("/wallets")).status_code)

            for _ in range(4):
                tg.start_soon(one)

    def loops(*backends: str) -> None:
        for backend in backends:
            anyio.run(ask, backend=backend)

    def plain() -> None:
        with auth.client(transport=simulator) as client:
            statuses.append(client.get("/wallets").status_code)

    for _ in range(2):
        threads = [
            threading.Thread(target=loops, args=("asyncio", "trio")),
            threading.Thread(target=loops, args=("trio", "asyncio")),
            threading.Thread(target=plain),
            threading.Thread(target=plain),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        clock.advance(simulator.token_lifetime + 1)
    store.close()
    assert statuses == [200] * 36
    assert simulator.counters.exchanges == 2


# ----------------------------------------------------------------- TLS, ACL, Sentinel, Cluster
def test_tls(
    start_redis: Callable[..., RedisServer],
    key: StoreKey,
    make_record: MakesRecords,
    tmp_path: Path,
) -> None:
    """With certificates checked; a server that cannot prove itself is unavailable."""
    cert, secret = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2"),
            *(*subject, "-keyout", str(secret), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    options = {"tls-cert-file": cert, "tls-key-file": secret, "tls-ca-cert-file": cert}
    server = start_redis(scheme="rediss", **options, **{"tls-auth-clients": "no"})
    store = RedisStore(f"{server.url}?ssl_ca_certs={cert}")
    use(store, key, make_record)
    store.close()
    trusting_nobody = RedisStore(server.url)
    with pytest.raises(StoreUnavailableError, match="certificate"):
        trusting_nobody.load(key)
    trusting_nobody.close()


def test_an_acl_user_needs_no_more_than_is_documented(
    redis_server: RedisServer, key: StoreKey, make_record: MakesRecords
) -> None:
    """The documented rights are enough; with fewer, a typed error that shows no password."""
    documented = (RedisStore.__doc__ or "").partition("``+eval")[2]
    rights = "+eval" + documented.partition("``")[0]
    with redis_server.client() as client:
        rules = rights.split()
        client.execute_command("ACL", "SETUSER", "app", "reset", "on", ">5ec2e7", *rules)
        client.execute_command("ACL", "SETUSER", "no", "reset", "on", ">5ec2e7", "+ping")
    host = redis_server.url.partition("//")[2]
    store = RedisStore(f"redis://app:5ec2e7@{host}")
    use(store, key, make_record)
    store.close()
    for login in ("no:5ec2e7", "app:5ec2e7-wrong"):
        refused = RedisStore(f"redis://{login}@{host}")
        with pytest.raises(StoreUnavailableError) as caught:
            refused.load(key)
        assert "5ec2e7" not in str(caught.value) + repr(refused)
        refused.close()


def test_sentinel(
    redis_server: RedisServer, key: StoreKey, make_record: MakesRecords, tmp_path: Path
) -> None:
    """The client that a Sentinel hands out for its master."""
    port = redis_server.port
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port 0\nunixsocket {tmp_path}/s\nsentinel monitor main 127.0.0.1 {port} 1\n"
    )
    process = subprocess.Popen(
        ["redis-server", config, "--sentinel"],  # noqa: S607
        stdout=subprocess.DEVNULL,
    )
    try:
        sentinel = untyped(redis.sentinel.Sentinel)([])
        sentinel.sentinels = [redis.Redis(unix_socket_path=f"{tmp_path}/s")]
        client = sentinel.master_for("main", socket_timeout=1)
        store = RedisStore(client)
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(StoreUnavailableError):
                store.load(key)
                break
            assert time.monotonic() < deadline
        use(store, key, make_record)
        assert store.identity != RedisStore(sentinel.master_for("main")).identity
        with pytest.raises(ConfigurationError, match=r"master_for"):
            RedisStore(sentinel)
        client.close()
        sentinel.sentinels[0].close()
    finally:
        process.kill()
        process.wait()


def test_cluster(
    start_redis: Callable[..., RedisServer], key: StoreKey, make_record: MakesRecords
) -> None:
    """Keys of one organization share a slot, so scripts run on a cluster as well."""
    server = start_redis(**{"cluster-enabled": "yes"})
    with server.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
            time.sleep(0.02)
    cluster = untyped(redis.cluster.RedisCluster).from_url(server.url)
    use(RedisStore(cluster), key, make_record)
    cluster.close()


# ------------------------------------------------------------------------- what is refused
def test_an_asyncio_client_is_refused_and_told_why() -> None:
    """It would serve one event loop, while an auth object serves any."""
    client = redis.asyncio.Redis()
    with pytest.raises(ConfigurationError, match="an asyncio client serves one event loop"):
        RedisStore(client)


@pytest.mark.parametrize("nonsense", [None, 7, object(), b"redis://"], ids=repr)
def test_what_is_no_client_is_refused(nonsense: Any) -> None:  # noqa: ANN401
    """The error names both things that are accepted."""
    with pytest.raises(ConfigurationError, match="a URL or a client of redis-py"):
        RedisStore(nonsense)


@pytest.mark.parametrize("url", ["", "5ec2e7", "http://u:5ec2e7@h", "redis://u:5ec2e7/:5ec2e7@h:x"])
def test_a_url_that_is_none_is_refused_without_showing_it(url: str) -> None:
    """A password with a slash in it, not quoted, would else appear as the port."""
    with pytest.raises(ConfigurationError, match="expected redis://") as caught:
        RedisStore(url)
    assert "5ec2e7" not in shown(caught.value)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The typed error has pip's argument in it."""
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match=r"httpx-cobo-auth\[redis\]"):
        RedisStore("redis://127.0.0.1")


def test_objects_for_one_database_are_one_store() -> None:
    """Whether from a URL or a client; so that objects made anew share their gate."""
    same = [
        RedisStore("redis://127.0.0.1:6390/3"),
        RedisStore("redis://user:5ec2e7@127.0.0.1:6390/3"),
        RedisStore(redis.Redis("127.0.0.1", 6390, 3)),
    ]
    assert len({store.identity for store in same}) == 1
    others = [
        RedisStore("redis://127.0.0.1:6390/4"),
        RedisStore("redis://127.0.0.1:6391/3"),
        RedisStore("redis://127.0.0.1:6390/3", prefix="other"),
        RedisStore("unix:///tmp/redis.sock"),
        RedisStore("unix:///tmp/redis2.sock"),
        same[0],
    ]
    assert len({store.identity for store in others}) == len(others)
    assert "5ec2e7" not in repr(same[1])


def test_a_fork_leaves_the_parents_lock_alone(
    redis_server: RedisServer, key: StoreKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the hold in another process holds nothing, and releases nothing."""
    store = RedisStore(redis_server.url)
    hold = store.try_lock(key, ttl=60)
    assert hold
    with monkeypatch.context() as patched:
        patched.setattr("os.getpid", lambda: -1)
        assert hold.remaining() == 0.0
        hold.release()
    assert hold.remaining() > 50
    assert store.try_lock(key, ttl=60) is None
    hold.release()
    store.close()
