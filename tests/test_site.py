"""The documentation site: built strictly, complete, drawn, and whole without a network."""

from __future__ import annotations

import ast
import importlib
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import httpx_cobo_auth
from httpx_cobo_auth import Token
from httpx_cobo_auth._auth.base import FlowAuth
from httpx_cobo_auth._protocol import tokens
from httpx_cobo_auth._protocol.tokens import HeldToken, TokenState
from httpx_cobo_auth.testing import ManualClock

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PUBLIC = (
    "httpx_cobo_auth",
    "httpx_cobo_auth.callback",
    "httpx_cobo_auth.errors",
    "httpx_cobo_auth.events",
    "httpx_cobo_auth.httpx2",
    "httpx_cobo_auth.stores.base",
    "httpx_cobo_auth.testing",
)
DESCRIBED = re.compile(r'<dt class="sig[^"]*" id="(?P<name>[\w.]+)"')
SOURCE = re.compile(
    r'<dt class="sig[^"]*" id="httpx_cobo_auth\.(?P<name>[\w.]+)">'
    r'(?:(?!</dt>).)*/blob/main/(?P<path>[\w./]+)#L(?P<first>\d+)-L(?P<last>\d+)"',
    re.DOTALL,
)
FETCHED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^>]*>")
STATE = re.compile(r'class="state" id="(?P<name>\w+)"')
STEP = re.compile(r'class="step" id="(?P<before>\w+)-(?P<after>\w+)">(?P<drawn>.*?)</g>')


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build as ``make docs`` does: warnings are errors, and nothing is left from before."""
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--fresh-env"]
    return subprocess.run(
        [*command, "--conf-dir", DOCS, source, site],
        # What is built imports the package, and tests none of it.
        env={name: value for name, value in os.environ.items() if "COVERAGE" not in name},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site, once for all tests."""
    folder = tmp_path_factory.mktemp("site")
    built = build(DOCS, folder)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def described(site: Path) -> set[str]:
    """Names that the reference describes."""
    pages = (page.read_text("utf-8") for page in (site / "api").glob("*.html"))
    return {found["name"] for page in pages for found in DESCRIBED.finditer(page)}


# -------------------------------------------------------------------------------- the pages
def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """Scripts, styles and pictures are the site's own: it can be read without a network."""
    pages = [*site.rglob("*.html")]
    assert site / "index.html" in pages
    for page in pages:
        assert not FETCHED.findall(page.read_text("utf-8")), page


def test_every_table_became_one(site: Path) -> None:
    """A row too few or too many cells long makes a paragraph of the whole table."""
    for page in site.rglob("*.html"):
        assert not re.findall(r"<p>\s*\|[^<]*\|", page.read_text("utf-8")), page


def test_version_and_copy_buttons_are_there(site: Path) -> None:
    """Each page names the version, and its code can be copied by a button."""
    for name in ("index.html", "api/httpx_cobo_auth.html"):
        page = (site / name).read_text("utf-8")
        assert f"httpx-cobo-auth {httpx_cobo_auth.__version__}" in page
        assert "copybutton.js" in page


def test_the_reference_leads_to_the_sources(site: Path) -> None:
    """Inherited methods as well: to lines of a file that begin with what is described."""
    page = (site / "api" / "httpx_cobo_auth.html").read_text("utf-8")
    sources = {found["name"]: found for found in SOURCE.finditer(page)}
    for name in ("CoboOAuth", "CoboOAuth.token", "CoboOAuth.org_id", "PortalApp.org", "FileStore"):
        found = sources[name]
        lines = (ROOT / found["path"]).read_text("utf-8").splitlines()
        part = lines[int(found["first"]) - 1 : int(found["last"])]
        assert re.search(rf"(def|class) {name.rpartition('.')[2]}\b", "\n".join(part[:3])), name


def test_what_leads_nowhere_stops_the_build(tmp_path: Path) -> None:
    """A page, an anchor, an example, a name that is not there: each is told, as an error."""
    (tmp_path / "index.md").write_text(
        "# Title\n\n[](no_page.md) [](#no-anchor) [](../examples/no_example.py)\n\n"
        "```{eval-rst}\n.. autoclass:: httpx_cobo_auth.NoName\n```\n",
        encoding="utf-8",
    )
    built = build(tmp_path, tmp_path / "site")
    assert built.returncode != 0
    for missing in ("no_page.md", "no-anchor", "no_example.py", "NoName"):
        assert missing in built.stderr


def test_every_example_is_shown(site: Path) -> None:
    """Each file of ``examples`` has its place, so that links to it find one."""
    page = (site / "examples.html").read_text("utf-8")
    shown = re.findall(r"<h2>(\w+\.py)<", page)
    assert sorted(shown) == sorted(file.name for file in (ROOT / "examples").glob("*.py"))


# ---------------------------------------------------------------------------- the reference
@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_described(module: str, described: set[str]) -> None:
    """Where a module exports it, or in the module that it is from."""
    exported = importlib.import_module(module)
    for name in exported.__all__:
        origin = getattr(getattr(exported, name), "__module__", module)
        assert described & {f"{module}.{name}", f"{origin}.{name}"}, f"{module}.{name}"


@pytest.mark.parametrize("kind", ["CoboAuth", "CoboOAuth", "PortalApp"])
def test_every_method_of_the_auth_classes_is_described(kind: str, described: set[str]) -> None:
    """All but what httpx calls, and what the classes call among themselves."""
    described_class = getattr(importlib.import_module("httpx_cobo_auth"), kind)
    internal = {*dir(httpx.Auth), *dir(FlowAuth)}
    public = {name for name in dir(described_class) if name[0] != "_"} - internal
    prefix = f"httpx_cobo_auth.{kind}."
    assert public == {name.removeprefix(prefix) for name in described if name.startswith(prefix)}


# -------------------------------------------------------------------- the drawing of the rooms
ROOMS = (DOCS / "architecture.svg").read_text("utf-8")
ROOM = re.compile(r'class="room[^"]*" id="(?P<name>\w+)".*?class="names"[^>]*>(?P<names>[^<]*)<')
ARROW = re.compile(r'class="arrow" id="(?P<above>\w+)-(?P<below>\w+)"')
VALUES = "values"


def test_the_rooms_drawn_are_those_of_the_package() -> None:
    """Each folder and each module at the top is in one room of the drawing."""
    drawn = [name for names in ROOM.finditer(ROOMS) for name in names["names"].split(", ")]
    assert sorted(drawn) == sorted({name.partition(".")[0] for name in package_modules()})


def test_the_arrows_drawn_are_the_imports() -> None:
    """All but those to the values, which every room imports."""
    room = {
        name: found["name"] for found in ROOM.finditer(ROOMS) for name in found["names"].split(", ")
    }
    imports = {
        (room[name.partition(".")[0]], room[imported.partition(".")[0]])
        for name, path in package_modules().items()
        for imported in imported_modules(path)
    }
    drawn = {(found["above"], found["below"]) for found in ARROW.finditer(ROOMS)}
    assert drawn == {(a, b) for a, b in imports if b not in {a, VALUES}}
    assert {a for a, b in imports if b == VALUES} == {*room.values()}


def package_modules() -> dict[str, Path]:
    """Return the modules of the package, as ``_auth.base``; ``__init__`` by the package's name."""
    package = ROOT / "httpx_cobo_auth"
    names = {
        ".".join(path.relative_to(package).with_suffix("").parts): path
        for path in package.rglob("*.py")
    }
    return {"httpx_cobo_auth" if name == "__init__" else name: path for name, path in names.items()}


def imported_modules(path: Path) -> set[str]:
    """Return which of our modules a module imports, at its top level or anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    prefix = "httpx_cobo_auth."
    ours = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    return ours | ({"httpx_cobo_auth"} & names)


# ------------------------------------------------------------------- the drawing of the states
DRAWING = (DOCS / "states.svg").read_text("utf-8")
STEPS = {
    (found["before"], found["after"]): " ".join(re.sub(r"<[^>]*>", " ", found["drawn"]).split())
    for found in STEP.finditer(DRAWING)
}


def test_the_drawing_is_on_its_page(site: Path) -> None:
    """The built page shows the file that the Markdown page shows on a code host."""
    page = (site / "behaviour.html").read_text("utf-8")
    [source] = re.findall(r'<img[^>]* src="([^"]*states\.svg)"', page)
    assert (site / source).read_text("utf-8") == DRAWING


def test_the_states_drawn_are_those_of_the_code() -> None:
    """And REFUSED, which is no state of time: the server says so."""
    states = {found["name"] for found in STATE.finditer(DRAWING)}
    assert states == {*TokenState.__members__, "REFUSED"}
    assert {state for step in STEPS for state in step} == states


def test_the_steps_drawn_are_those_of_time() -> None:
    """What a token goes through by itself is drawn; every other step is a renewal or a refusal."""
    clock = ManualClock()
    now = clock.time()
    token = Token(access_token="t", obtained_at=now, expires_at=now + 43_200)
    held = HeldToken(token, 1).timed(clock, 0.0)
    lived = [held.state(clock).name]
    for _ in range(43_200 // 15):
        clock.advance(15)
        if held.state(clock).name != lived[-1]:
            lived.append(held.state(clock).name)
    by_time = {step for step in STEPS if step[1] not in {"FRESH", "REFUSED"}}
    assert by_time == {*itertools.pairwise(lived)}


def test_the_times_drawn_are_those_of_the_code() -> None:
    """The renewal window with its jitter, and the margin."""
    widest = tokens._WINDOW_S / 60
    narrowest = widest * (1 - tokens._WINDOW_JITTER)
    window = f"{narrowest:.0f} to {widest:.0f} min before its end"
    assert STEPS["FRESH", "STALE"] == window
    assert STEPS["STALE", "EXPIRED"] == f"{tokens._MARGIN_S:.0f} s before its end"
