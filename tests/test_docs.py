"""The documentation: its code runs, its links lead somewhere, every hazard has tests.

Blocks of Python run page by page, from top to bottom, against a simulator: ``dev`` leads to
it, and the ellipses of the arguments stand for its credentials. A comment above a block says
where it is otherwise::

    <!-- not run: reason -->     it is compiled only
    <!-- pytest -->              it is part of a file of tests
    <!-- pytest other -->        it is part of another one
"""

from __future__ import annotations

import ast
import dataclasses
import logging
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from typing import TYPE_CHECKING, Any, get_args

import httpx
import pytest
from sqlalchemy import create_engine
from sqlalchemy.schema import CreateTable

from httpx_cobo_auth import Timeouts, environment
from httpx_cobo_auth._protocol.known import WHAT_FOLLOWS, Urgency
from httpx_cobo_auth._protocol.records import Trust
from httpx_cobo_auth._protocol.settings import Settings
from httpx_cobo_auth._runtime.event_log import log
from httpx_cobo_auth.errors import StoreError, TokenEndpointError
from httpx_cobo_auth.events import (
    ContentionSuspected,
    RenewalAwaited,
    RenewalFailed,
    RequestRefused,
    RequestReplayed,
    SaveFailed,
    TokenAcquired,
    TokenRenewed,
    TokenTakenOver,
)
from httpx_cobo_auth.stores._sql_table import TokenTable
from httpx_cobo_auth.testing import CoboSimulator
from httpx_cobo_auth.testing import _settings as simulator_settings
from tests.pages import ROOT, blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PYTEST = re.compile(r"pytest( (?P<file>\w+))?")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<title>.*)$", re.MULTILINE)
HAZARD = re.compile(r"^\| (\d+) \|", re.MULTILINE)
MARK = re.compile(r"pytest\.mark\.hazard\(([\d, ]+)\)")
TIMEOUT = re.compile(r"^\| `(?P<name>\w+)` \| (?P<seconds>\d+) \|", re.MULTILINE)
PROJECT_URLS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))[
    "project"
]["urls"]
PROJECT_URL = re.compile(r"https?://[\w.]*(?:github\.com/[\w-]+/)?httpx-cobo-auth[^\s)\"'<>`]*")
LINKING = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(file for file in (ROOT / ".github").rglob("*") if file.is_file()),
]
VARIABLE = re.compile(r"[\"'](COBO_[A-Z_]+)[\"']")
LOG_LINE = re.compile(r"^\| `([^`]*)` \| (DEBUG|INFO|WARNING) \|", re.MULTILINE)
WHOSE: dict[str, Any] = {"base_url": "u", "client_id": "c", "org_id": "o", "at": 0.0}
CREDENTIALS = {
    "client_id": "COBO_APP_CLIENT_ID",
    "app_secret": "COBO_APP_SECRET",
    "org_id": "COBO_ORG_ID",
}


@pytest.fixture
def cobo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CoboSimulator]:
    """What ``dev`` leads to, and a home of one's own.

    Nonces go unchecked: a page may have the key in several objects.
    """
    simulator = CoboSimulator(check_nonce=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COBO_ENV", "dev")
    for argument, variable in CREDENTIALS.items():
        monkeypatch.setenv(variable, getattr(simulator, argument))
    with simulator.serve() as served:
        dev = environment.Environment("dev", served.base_url, served.response_key)
        monkeypatch.setitem(environment._BY_NAME, "dev", dev)
        yield simulator


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_runs(page: Path, cobo: CoboSimulator, tmp_path: Path) -> None:
    """Block by block, files of tests included; and no refresh token is sent twice."""
    namespace: dict[str, object] = {"__name__": "documentation"}
    tests: defaultdict[str, list[str]] = defaultdict(list)
    for block in blocks_of(page):
        code = block.code
        for argument in CREDENTIALS:
            code = code.replace(f'{argument}="…"', f"{argument}={getattr(cobo, argument)!r}")
        # So that a traceback names the lines of the page.
        tree = ast.parse("\n" * block.line + code, filename=str(page))
        compiled = compile(tree, str(page), "exec", dont_inherit=True)
        if mark := PYTEST.fullmatch(block.mark):
            tests[f"test_{mark['file'] or 'page'}.py"].append(code)
        elif not block.mark:
            exec(compiled, namespace)  # noqa: S102 - documentation of our own
        else:
            assert block.mark.startswith("not run: "), block.mark
    for value in namespace.values():
        if isinstance(value, httpx.Client):
            value.close()
    for file, parts in tests.items():
        (tmp_path / file).write_text("\n".join(parts), encoding="utf-8")
    if tests:
        run_pytest(*tests)
    assert cobo.counters.spent_refresh_reused == 0


def run_pytest(*files: str) -> None:
    """Run the tests of files as a user would, without this suite's settings."""
    options = ("-q", "-W", "error", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *options, *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A file that exists and a heading that it has; other sites are not asked."""
    for found in LINK.finditer(page.read_text(encoding="utf-8")):
        path, _, anchor = found["target"].partition("#")
        if path.startswith(("https:", "http:")):
            continue
        there = page.parent / path if path else page
        assert there.exists(), found["target"]
        assert not anchor or anchor in anchors_of(there), found["target"]


def test_links_of_the_readme_are_absolute() -> None:
    """A package index shows the README, and would look for files beside itself."""
    links = [found["target"] for found in LINK.finditer(PAGES[0].read_text(encoding="utf-8"))]
    assert links
    assert not [link for link in links if not link.startswith(("https://", "#"))]


@pytest.mark.parametrize("file", LINKING, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_to_the_project_lead_to_what_is_here(file: Path) -> None:
    """To a URL of ``[project.urls]``, or beneath one to a page or a file that exists."""
    pages, source = PROJECT_URLS["Documentation"] + "en/latest/", PROJECT_URLS["Source"]
    files = f"{source}/blob/main/"
    for url in PROJECT_URL.findall(file.read_text(encoding="utf-8")):
        path, _, anchor = url.partition("#")
        if path.startswith(pages):
            name = path.removeprefix(pages).removesuffix(".html") or "index"
            there = [ROOT / "docs" / f"{name}.{suffix}" for suffix in ("md", "rst")]
            [page] = [page for page in there if page.exists()] or pytest.fail(url)
            assert not anchor or anchor in anchors_of(page), url
        elif path.startswith(files):
            assert (ROOT / path.removeprefix(files)).exists(), url
        else:
            assert url in {*PROJECT_URLS.values(), f"{source}.git"}, url


def anchors_of(page: Path) -> set[str]:
    """Return what the headings of a page are linked by."""
    titles = (found["title"].lower() for found in HEADING.finditer(page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def test_time_limits_are_as_documented() -> None:
    """The table has each field of ``Timeouts`` with its default; the text has their sums."""
    page = (ROOT / "docs" / "behaviour.md").read_text(encoding="utf-8")
    documented = {found["name"]: float(found["seconds"]) for found in TIMEOUT.finditer(page)}
    assert documented == dataclasses.asdict(Timeouts())
    settings = Settings()
    for seconds in (settings.lease, settings.wait, settings.lock_ttl):
        assert f" {seconds:.0f} s" in page


def test_the_table_of_an_sql_store_is_as_documented() -> None:
    """So that a migration can be written from the page."""
    page = (ROOT / "docs" / "stores.md").read_text(encoding="utf-8")
    [documented] = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    table = TokenTable("cobo_tokens", "postgresql")._table
    created = CreateTable(table).compile(create_engine("postgresql+psycopg://"))
    assert re.findall(r"\w+|[(),]", documented) == re.findall(r"\w+|[(),]", str(created))


def test_what_follows_is_as_documented() -> None:
    """The table of the architecture page is that of the code, row by row and column by column."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    [table] = re.findall(r"^\| clock \|.*?\n(?=\n)", page, re.MULTILINE | re.DOTALL)
    (_, *levels), _, *rows = [
        [cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()
    ]
    assert levels == [*Trust.__members__]
    documented = {state: dict(zip(levels, cells, strict=True)) for state, *cells in rows}
    assert documented == {
        state.name: {
            trust.name: urgency.name if urgency else "none" for trust, urgency in row.items()
        }
        for state, row in WHAT_FOLLOWS.items()
    }
    for urgency in Urgency:
        assert f"\n| {urgency.name} " in page


def test_settings_of_the_simulator_are_as_documented() -> None:
    """Each has its row, with its default if that is a plain value; and so has each nonce check."""
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    page = page.partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", page, re.MULTILINE)
    documented = {
        name: default for names, default in rows for name in re.findall(r"`(\w+)`", names)
    }
    simulator = CoboSimulator()
    for setting in dataclasses.fields(simulator_settings.Settings):
        default = documented[setting.name].strip("`")
        assert default in {"made up", "runs"} or ast.literal_eval(default) == setting.default
        assert hasattr(simulator, setting.name)
    _, literal = get_args(simulator_settings.NonceCheck)
    for check in (*get_args(literal), True, False):
        assert f"\n| `{check}` |" in page or f'\n| `"{check}"` |' in page


def test_log_lines_are_as_documented(caplog: pytest.LogCaptureFixture) -> None:
    """Each line of the table is one that is logged, at that level and with those fields."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = LOG_LINE.findall(page)
    error = TokenEndpointError("no answer")
    renewed: dict[str, Any] = {"generation": 2, "expires_at": 1.0, **WHOSE}
    caplog.set_level(logging.DEBUG, "httpx_cobo_auth")
    for event in (
        TokenAcquired(generation=1, expires_at=1.0, **WHOSE),
        TokenRenewed(**renewed),
        TokenTakenOver(**renewed),
        RenewalFailed(error=error, still_usable=True, **WHOSE),
        RenewalFailed(error=error, still_usable=False, **WHOSE),
        SaveFailed(generation=2, error=StoreError("disk full"), **WHOSE),
        ContentionSuspected(hold_off=30.0, **WHOSE),
        RenewalAwaited(seconds=0.6, **WHOSE),
        RequestReplayed(request="GET /v2/wallets", **WHOSE),
        RequestRefused(request="GET /v2/wallets", status=500, hold_off=30.0, **WHOSE),
    ):
        log(event, None)
    assert len(rows) == len(caplog.records)
    for (line, level), record in zip(rows, caplog.records, strict=True):
        pattern = ".+".join(re.escape(part) for part in line.split("…"))
        assert re.fullmatch(pattern, record.getMessage()), line
        assert record.levelname == level, line
        for field in ("cobo_event", "cobo_org_id", "cobo_base_url"):
            assert hasattr(record, field)
            assert f"`{field}`" in page


def test_every_variable_that_is_read_is_documented() -> None:
    """Each ``COBO_…`` of the package has its row in the table of the configuration."""
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    package = (ROOT / "httpx_cobo_auth").rglob("*.py")
    read = {name for file in package for name in VARIABLE.findall(file.read_text("utf-8"))}
    assert {"COBO_ENV", "COBO_APP_SECRET"} <= read
    assert read <= {*re.findall(r"^\| `(COBO_\w+)` \|", page, re.MULTILINE)}


def test_every_hazard_has_tests_and_every_test_of_one_a_hazard() -> None:
    """The table has its numbers in order and once, and the marks have the same."""
    page = (ROOT / "docs" / "hazards.md").read_text(encoding="utf-8")
    rows = [int(number) for number in HAZARD.findall(page)]
    assert rows == sorted(set(rows))
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    marked = {int(number) for mark in MARK.findall(tests) for number in mark.split(",")}
    assert marked == set(rows), f"only in tests or only in the table: {marked ^ set(rows)}"
