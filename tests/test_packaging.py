"""The wheel: what is inside, and that it works alone, without extras and without surprises."""

from __future__ import annotations

import importlib
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import httpx_cobo_auth

ROOT = Path(__file__).parent.parent
EXTRAS = ("httpx2", "keyring", "pytest", "redis", "trio")


def run(*command: str | Path) -> str:
    """Return what the command prints; fail with what it said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the build backend that is installed here."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a fresh environment, its dependencies lent by this one."""
    folder = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    run(sys.executable, *f"-m pip --python {python} install --no-index --no-deps {wheel}".split())
    purelib = run(
        python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"
    ).strip()
    # A path added by a .pth file has its own .pth files ignored: the editable install of
    # this checkout stays out.
    Path(purelib, "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return python


def test_the_wheel_holds_the_typed_package_and_nothing_else(wheel: Path) -> None:
    """``py.typed`` and the license are in it; no tests, no examples."""
    names = zipfile.ZipFile(wheel).namelist()
    assert "httpx_cobo_auth/py.typed" in names
    metadata = f"httpx_cobo_auth-{httpx_cobo_auth.__version__}.dist-info"
    plugin = "pytest_httpx_cobo_auth.py"
    assert {name.partition("/")[0] for name in names} == {"httpx_cobo_auth", plugin, metadata}
    assert f"{metadata}/licenses/LICENSE" in names


def test_the_wheel_works_without_any_extra(python: Path) -> None:
    """Installed without extras, with their imports failing, every public name is there."""
    program = f"""
import sys
sys.modules.update(dict.fromkeys({EXTRAS}))  # each import of one fails now
import httpx_cobo_auth
import httpx_cobo_auth.testing
for name in httpx_cobo_auth.__all__:
    getattr(httpx_cobo_auth, name)
print(httpx_cobo_auth.__file__)
"""
    where = run(python, "-I", "-W", "error", "-c", program).strip()
    assert Path(where).is_relative_to(python.parent.parent)


@pytest.mark.parametrize(
    ("extra", "wanting"),
    [
        ("keyring", "KeyringStore()"),
        ("redis", "RedisStore('redis://localhost')"),
        ("httpx2", "importlib.import_module('httpx_cobo_auth.httpx2')"),
    ],
)
def test_what_needs_an_extra_says_which(python: Path, extra: str, wanting: str) -> None:
    """A typed error, with the command that mends it."""
    program = f"""
import importlib, sys
sys.modules[{extra!r}] = None  # its import fails now
from httpx_cobo_auth import ConfigurationError, KeyringStore, RedisStore
try:
    {wanting}
except (ConfigurationError, ModuleNotFoundError) as error:
    print(error)
"""
    told = run(python, "-I", "-W", "error", "-c", program)
    assert told.endswith(f"pip install 'httpx-cobo-auth[{extra}]'\n")


@pytest.mark.parametrize("module", ["httpx_cobo_auth", "httpx_cobo_auth.testing"])
def test_importing_the_package_imports_no_extra(python: Path, module: str) -> None:
    """Although they can be had: no keyring, redis, httpx2, trio or pytest is loaded unasked."""
    program = f"""
import sys
import httpx
before = set(sys.modules)
import {module}
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""
    assert not set(run(python, "-I", "-c", program).split()) & set(EXTRAS)


def test_using_it_imports_no_extra(python: Path, tmp_path: Path) -> None:
    """Neither do sync clients, with a store in memory or in files, nor the simulator.

    With a real transport there would be trio, where it is installed: httpcore imports it.
    """
    program = """
import sys
import httpx
from httpx_cobo_auth import CoboOAuth, FileStore, MemoryStore
from httpx_cobo_auth.testing import CoboSimulator
simulator = CoboSimulator()
for store in (MemoryStore(), FileStore(sys.argv[1])):
    auth = CoboOAuth(**simulator.credentials, store=store)
    for client in (auth.client(transport=simulator), httpx.Client(transport=simulator, auth=auth)):
        with client:
            client.get(f"{simulator.environment.base_url}/wallets").raise_for_status()
            auth.renew(client)
assert simulator.counters.exchanges == 6
print(*{name.partition(".")[0] for name in sys.modules})
"""
    imported = run(python, "-I", "-W", "error", "-c", program, tmp_path / "tokens").split()
    assert "filelock" in imported
    assert not set(imported) & set(EXTRAS)


def test_the_quickstart_is_true(python: Path) -> None:
    """The demo runs against the installed wheel and says that no refresh token was sent twice."""
    told = run(python, "-I", "-W", "error", ROOT / "examples" / "quickstart.py")
    assert "spent_refresh_reused 0" in told


def test_without_httpx2_its_family_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is the one that a failing import has, and names the extra."""
    monkeypatch.setitem(sys.modules, "httpx2", None)  # its import fails now
    monkeypatch.delitem(sys.modules, "httpx_cobo_auth.httpx2", raising=False)
    wanted = r"pip install 'httpx-cobo-auth\[httpx2\]'"
    with pytest.raises(ModuleNotFoundError, match=wanted) as none:
        importlib.import_module("httpx_cobo_auth.httpx2")
    assert none.value.name == "httpx2"
