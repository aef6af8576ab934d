"""``SqlStore``: engines and URLs, what a database says, and what several processes do at once."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from httpx_cobo_auth import ConfigurationError, StoreConflictError, StoreUnavailableError
from httpx_cobo_auth.stores import AsyncSqlStore, SqlStore
from httpx_cobo_auth.stores._sql_table import TokenTable
from tests.held import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from httpx_cobo_auth.stores import StoreKey
    from tests.stores.conftest import MakesRecords, RunsPython
    from tests.stores.databases import DatabaseServer, PostgresServer

EMPTY = (0, None)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/tokens.db"


@pytest.fixture
def store(url: str) -> SqlStore:
    return SqlStore(url, auto_create=True)


@pytest.fixture
def engine_of() -> Iterator[Callable[..., sa.Engine]]:
    """Make engines of the user's, which the user closes."""
    engines: list[sa.Engine] = []

    def make(server: DatabaseServer, **options: Any) -> sa.Engine:  # noqa: ANN401 - SQLAlchemy's
        engines.append(sa.create_engine(server.url, **options))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()


# -------------------------------------------------------------------------------- arguments
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (5, "expected a URL or an Engine of SQLAlchemy, got a int"),
        ("oracle://user:5ec2e7@host/x", "PostgreSQL, MySQL, MariaDB and SQLite, not 'oracle'"),
        ("sqlite:///file:tokens?mode=memory&uri=true", "belongs to one connection"),
    ],
)
def test_what_is_no_such_database_is_refused(given: Any, said: str) -> None:  # noqa: ANN401
    """At once, and without showing a password."""
    with pytest.raises(ConfigurationError, match=said) as refused:
        SqlStore(given)
    assert "5ec2e7" not in str(refused.value)


@pytest.mark.parametrize("table", ["", "a b", "a;b", "1a", "a.b.c", 'a"'])
def test_a_table_has_a_plain_name(url: str, table: str) -> None:
    """It may be one of another schema."""
    with pytest.raises(ConfigurationError, match="plain name"):
        SqlStore(url, table=table)


def test_each_class_takes_its_own_kind_of_engine(url: str) -> None:
    """``SqlStore`` makes an ``AsyncSqlStore`` of what is async; a subclass of it does not."""
    asynchronous = url.replace("sqlite", "sqlite+aiosqlite")

    class Mine(SqlStore):
        pass

    for given in (asynchronous, create_async_engine(asynchronous)):
        made: object = SqlStore(cast("Any", given))
        assert isinstance(made, AsyncSqlStore)
    with pytest.raises(ConfigurationError, match="a AsyncSqlStore needs an async engine"):
        AsyncSqlStore(url)
    with pytest.raises(ConfigurationError, match="a Mine needs a sync engine"):
        Mine(asynchronous)


def test_without_sqlalchemy_it_says_which_extra_to_install(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is given."""
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'httpx-cobo-auth\[sql\]'"):
        SqlStore(url)


def test_a_file_of_sqlite_may_be_named_by_a_uri(
    tmp_path: Path, key: StoreKey, make_record: MakesRecords
) -> None:
    """As SQLite has it, with parameters of its own."""
    store = SqlStore(f"sqlite:///file:{tmp_path}/tokens.db?uri=true", auto_create=True)
    store.save(key, make_record(), expected=EMPTY)
    assert (tmp_path / "tokens.db").exists()
    assert store.load(key) == make_record()


# ---------------------------------------------------------------------- engines of the user's
def test_an_engine_of_the_users_stays_open_and_shows_no_tokens(
    postgres: PostgresServer,
    engine_of: Callable[..., sa.Engine],
    key: StoreKey,
    make_record: MakesRecords,
) -> None:
    """``close()`` leaves it to its owner; its own statements go on as they were."""
    engine = engine_of(postgres)
    store = SqlStore(engine)
    store.create_table()
    store.save(key, make_record(), expected=EMPTY)
    store.close()
    assert store.load(key) == make_record()
    assert cast("Any", engine.pool).checkedin() == 1
    assert store._database.engine.hide_parameters
    assert not engine.hide_parameters
    with engine.connect() as connection:
        connection.execute(sa.text("DELETE FROM cobo_tokens"))  # not committed
    assert store.load(key) == make_record()


def test_stores_of_one_database_and_table_are_one(
    postgres: PostgresServer, engine_of: Callable[..., sa.Engine]
) -> None:
    """But for engines that connect by a function: nobody knows where that leads to."""
    same = [SqlStore(postgres.url), SqlStore(engine_of(postgres))]
    assert same[0].identity == same[1].identity
    assert same[0].identity != SqlStore(postgres.url, table="other").identity

    def connect() -> Any:  # noqa: ANN401 - never called
        raise AssertionError

    by_function = sa.create_engine("postgresql+psycopg://", creator=connect)
    assert SqlStore(by_function).identity != SqlStore(by_function).identity


def test_where_the_users_engine_has_no_connection_left_it_says_so(
    postgres: PostgresServer, engine_of: Callable[..., sa.Engine], key: StoreKey
) -> None:
    """In the time that the engine allows for."""
    engine = engine_of(postgres, pool_size=1, max_overflow=0, pool_timeout=0.05)
    store = SqlStore(engine, auto_create=True)
    assert store.load(key) is None
    with engine.connect(), pytest.raises(StoreUnavailableError, match="are in use"):
        store.load(key)


CUT_OFF = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"


def test_a_connection_that_was_cut_off_is_replaced(
    postgres: PostgresServer,
    engine_of: Callable[..., sa.Engine],
    key: StoreKey,
    make_record: MakesRecords,
) -> None:
    """As by a firewall, or a restart: the statement is sent once more, which does no harm."""
    store = SqlStore(engine_of(postgres), auto_create=True)
    store.save(key, make_record(), expected=EMPTY)
    postgres.execute(CUT_OFF)
    assert store.load(key) == make_record()


def test_one_of_an_async_engine_is_replaced_too(
    postgres: PostgresServer, key: StoreKey, make_record: MakesRecords
) -> None:
    """The same, without a thread."""

    async def use() -> None:
        engine = create_async_engine(postgres.url.replace("psycopg", "asyncpg"))
        store = AsyncSqlStore(engine, auto_create=True)
        await store.save(key, make_record(), expected=EMPTY)
        await anyio.to_thread.run_sync(postgres.execute, CUT_OFF)
        assert await store.load(key) == make_record()
        await engine.dispose()

    anyio.run(use)


# In a program of its own, which has no other threads when it forks.
FORKING = """
import os, sys
import sqlalchemy as sa
from httpx_cobo_auth.stores import Record, SqlStore, StoreKey

key = StoreKey("https://api.example/v2", "client", "org")
engine = sa.create_engine(sys.argv[1])
store = SqlStore(engine, auto_create=True)
store.save(key, Record(1), expected=(0, None))
pid = os.fork()
assert store.load(key) == Record(1)
if pid == 0:
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
assert store.load(key) == Record(1)
engine.dispose()
print("both")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_opens_connections_of_its_own(
    postgres: PostgresServer, run_python: RunsPython
) -> None:
    """And leaves those of the user's engine, which are its parent's, alone."""
    assert run_python(FORKING, postgres.url) == "both\n"


# ------------------------------------------------------------------------- what a database says
def test_without_its_table_it_says_what_to_do(url: str, key: StoreKey) -> None:
    """Once it is created, all is well; to create it again changes nothing."""
    store = SqlStore(url)
    with pytest.raises(StoreUnavailableError, match=r"call create_table\(\)"):
        store.load(key)
    store.create_table()
    store.create_table()
    assert store.load(key) is None


def test_where_it_may_not_be_created_the_database_says_why(
    postgres: PostgresServer, key: StoreKey
) -> None:
    """A table is created by whoever may; another's failure does not hide that."""
    with closing(SqlStore(postgres.url, table="nowhere.tokens", auto_create=True)) as store:
        with pytest.raises(StoreUnavailableError, match="InvalidSchemaName"):
            store.create_table()
        with pytest.raises(StoreUnavailableError, match="InvalidSchemaName"):
            store.load(key)


def test_where_another_process_creates_the_table_at_the_same_moment_it_is_there(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database refuses the second one, which has got what it wants."""
    store.create_table()

    def collide(_self: sa.MetaData, connection: sa.Connection) -> None:
        connection.execute(sa.text("CREATE TABLE cobo_tokens (name TEXT)"))

    monkeypatch.setattr(sa.MetaData, "create_all", collide)
    store.create_table()


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_server_that_is_not_there_is_said_to_be_so(driver: str, key: StoreKey) -> None:
    """With what the driver says of it, but never the password."""
    url = f"postgresql+{driver}://app:5ec2e7@127.0.0.1:1/app"

    store: Any = SqlStore(url, timeout=2)

    async def load() -> None:
        await store.load(key)

    with pytest.raises(StoreUnavailableError, match=r"cannot be used: .*[Cc]onnect") as refused:
        anyio.run(load) if driver == "asyncpg" else store.load(key)
    assert "5ec2e7" not in str(refused.value)


def test_what_a_statement_failed_of_is_told_by_its_kind_alone(
    postgres: PostgresServer, key: StoreKey, make_record: MakesRecords
) -> None:
    """Its text repeats the row, with both tokens."""
    small = "ALTER TABLE cobo_tokens ADD CONSTRAINT small CHECK (length(record) < 9)"
    with closing(SqlStore(postgres.url, auto_create=True)) as store:
        assert store.load(key) is None
        postgres.execute(small)
        with pytest.raises(StoreConflictError):  # The row cannot be added, for whatever reason.
            store.save(key, make_record(), expected=EMPTY)
        postgres.execute("ALTER TABLE cobo_tokens DROP COLUMN record")
        with pytest.raises(StoreUnavailableError, match=r"UndefinedColumn \(42703\)$"):
            store.load(key)


def test_a_save_whose_answer_was_lost_is_recognised(
    store: SqlStore, key: StoreKey, make_record: MakesRecords
) -> None:
    """It is as good as done, whichever version it expected."""
    store.save(key, make_record(), expected=EMPTY)
    store.save(key, make_record(), expected=EMPTY)
    with pytest.raises(StoreConflictError):
        store.save(key, make_record(2), expected=EMPTY)


@pytest.mark.parametrize("others", [1, 99])
def test_a_row_that_another_adds_first_is_looked_at_again(
    store: SqlStore,
    key: StoreKey,
    make_record: MakesRecords,
    monkeypatch: pytest.MonkeyPatch,
    others: int,
) -> None:
    """Such as by a lock; where that goes on for ever, the record moved on."""
    left = [others]
    insert = TokenTable.insert

    def outrun(table: TokenTable, *arguments: Any) -> bool:  # noqa: ANN401 - as they came
        left[0] -= 1
        return insert(table, *arguments) if left[0] < 0 else False

    monkeypatch.setattr(TokenTable, "insert", outrun)
    if others == 1:
        store.save(key, make_record(), expected=EMPTY)
        assert store.load(key) == make_record()
    else:
        with pytest.raises(StoreConflictError):
            store.save(key, make_record(), expected=EMPTY)


def test_a_row_in_another_ones_place_is_not_listed(
    store: SqlStore, url: str, key: StoreKey, make_record: MakesRecords
) -> None:
    """Whoever moved it: nobody's token is shown for another's."""
    store.save(key, make_record(), expected=EMPTY)
    assert store.keys() == [key]
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text("UPDATE cobo_tokens SET name = 'elsewhere'"))
    assert store.keys() == []


# ---------------------------------------------------------------------------------- async engines
def test_an_async_engine_serves_asyncio_alone(url: str, key: StoreKey) -> None:
    """SQLAlchemy has nothing for trio: it is said what to take instead."""
    store = AsyncSqlStore(url.replace("sqlite", "sqlite+aiosqlite"), auto_create=True)

    async def load() -> object:
        return await store.load(key)

    assert anyio.run(load) is None
    with pytest.raises(StoreUnavailableError, match="give SqlStore a sync engine"):
        anyio.run(load, backend="trio")


@pytest.mark.parametrize("own", [True, False], ids=["from a URL", "the user's"])
def test_an_async_engine_is_closed_by_whoever_made_it(
    url: str, key: StoreKey, monkeypatch: pytest.MonkeyPatch, *, own: bool
) -> None:
    """The table may be created beforehand."""
    address = url.replace("sqlite", "sqlite+aiosqlite")
    engine = create_async_engine(address)
    store = AsyncSqlStore(address if own else engine)
    disposed: list[object] = []

    async def dispose(self: object) -> None:
        disposed.append(self)

    monkeypatch.setattr(type(engine), "dispose", dispose)

    async def use() -> None:
        await store.create_table()
        assert await store.load(key) is None
        await store.aclose()

    anyio.run(use)
    assert len(disposed) == own
    monkeypatch.undo()
    anyio.run(engine.dispose)


def test_a_task_that_is_cancelled_while_it_takes_a_lock_leaves_none(
    url: str, key: StoreKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been taken: so it is given back."""
    store = AsyncSqlStore(url.replace("sqlite", "sqlite+aiosqlite"), auto_create=True)
    take = TokenTable.take
    taken = threading.Event()

    def taking(table: TokenTable, *arguments: Any) -> bool:  # noqa: ANN401 - as they came
        done = take(table, *arguments)
        taken.set()
        return done

    async def cancel() -> None:
        await store.load(key)
        monkeypatch.setattr(TokenTable, "take", taking)
        run = store._database.arun

        async def slowly(steps: Any) -> Any:  # noqa: ANN401 - as they came
            result = await run(steps)
            if taken.is_set():
                taken.clear()
                group.cancel_scope.cancel()
                await anyio.lowlevel.checkpoint()
            return result

        monkeypatch.setattr(store._database, "arun", slowly)
        async with anyio.create_task_group() as group:
            await store.try_lock(key, ttl=60)
        monkeypatch.undo()
        lock = await store.try_lock(key, ttl=60)
        assert lock is not None
        await lock.release()

    anyio.run(cancel)


# -------------------------------------------------------------------------------------- threads
def test_calls_that_hang_are_eight_at_most(
    url: str, key: StoreKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ninth waits for one of them to end, within the same limit."""
    store = SqlStore(url, auto_create=True, timeout=0.2)
    assert store.load(key) is None
    goes_on = threading.Event()
    run = store._database.run

    def hang(steps: Any) -> Any:  # noqa: ANN401 - as they came
        goes_on.wait(30)
        return run(steps)

    monkeypatch.setattr(store._database, "run", hang)
    messages: list[str] = []

    def load() -> None:
        try:
            store.load(key)
        except StoreUnavailableError as error:
            messages.append(str(error))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load()
    assert [message.rpartition(": ")[2] for message in messages] == [
        *["no answer within 0.2 s"] * 8,
        "earlier calls still hang after 0.2 s",
    ]
    goes_on.set()
    until(lambda: not [t for t in threading.enumerate() if "_run" in t.name])
    assert store.load(key) is None


def test_where_no_thread_can_be_started_the_caller_makes_the_call(
    store: SqlStore, key: StoreKey, make_record: MakesRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that nobody knows to be held is left to lapse there."""

    def refuse(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    store.save(key, make_record(), expected=EMPTY)
    assert store.load(key) == make_record()
    lock = store.try_lock(key, ttl=60)
    assert lock is not None

    def fail(*_arguments: object) -> None:
        raise OSError

    monkeypatch.setattr(TokenTable, "free", fail)
    lock.release()
    assert store._locks._left.value == ()


@pytest.mark.parametrize("begun", [True, False], ids=["after it was taken", "before"])
def test_a_lock_is_given_back_by_whoever_is_interrupted_while_taking_it(
    store: SqlStore, key: StoreKey, monkeypatch: pytest.MonkeyPatch, *, begun: bool
) -> None:
    """An exception of a signal handler reaches the caller, and never the inside of a driver."""
    assert store.load(key) is None
    taken, goes_on = threading.Event(), threading.Event()
    take = TokenTable.take

    def taking(table: TokenTable, *arguments: Any) -> bool:  # noqa: ANN401 - as they came
        if not begun:
            goes_on.wait(30)
        done = take(table, *arguments)
        taken.set()
        return done

    def interrupted(event: threading.Event, timeout: float | None = None) -> bool:
        if threading.current_thread() is not threading.main_thread():
            return wait(event, timeout)
        if begun:
            wait(event, 30)
        raise KeyboardInterrupt

    wait = threading.Event.wait
    monkeypatch.setattr(TokenTable, "take", taking)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Event, "wait", interrupted)
        patch.setattr(threading.Thread, "start", _start_unwatched(wait))
        with pytest.raises(KeyboardInterrupt):
            store.try_lock(key, ttl=60)
    goes_on.set()
    assert taken.wait(30)
    until(lambda: _free(store, key))


def _start_unwatched(wait: Any) -> Any:  # noqa: ANN401 - methods
    """Start a thread, waiting for its beginning without an interrupt."""
    start = threading.Thread.start

    def started(thread: threading.Thread) -> None:
        interrupting = threading.Event.wait
        threading.Event.wait = wait  # type: ignore[method-assign]
        try:
            start(thread)
        finally:
            threading.Event.wait = interrupting  # type: ignore[method-assign]

    return started


def _free(store: SqlStore, key: StoreKey) -> bool:
    lock = store.try_lock(key, ttl=60)
    if lock is not None:
        lock.release()
    return lock is not None
