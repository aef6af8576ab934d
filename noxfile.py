"""The built wheel on every interpreter, with the newest and the oldest versions allowed.

``make matrix`` runs it. An interpreter that is not there is skipped. Nothing here imports the
checkout: ``build`` makes the wheel, which is installed, and unpacks the source distribution
without the package, where the tests run.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
DIST = ROOT / "build" / "dist"
TREE = ROOT / "build" / "tree"
PACKAGE = ("httpx_cobo_auth", "pytest_httpx_cobo_auth.py")
EXTRAS = ["httpx2", "keyring", "redis"]
TESTING = "testing"  # pytest: the one extra without which no test runs

# Those that the classifiers name, and the next one, to see it come.
PYTHONS = [*nox.project.python_versions(nox.project.load_toml("pyproject.toml")), "3.14"]

# What is about the checkout, or the same for every interpreter and version. `make test` has it.
ELSEWHERE = (
    "--ignore=tests/exploration",
    "--ignore=tests/test_packaging.py",
    "--ignore=tests/test_site.py",
)

# Run where the tests are, with the path that they have.
INSTALLED = """
import pathlib, sysconfig, httpx_cobo_auth
where = pathlib.Path(httpx_cobo_auth.__file__)
assert where.is_relative_to(sysconfig.get_path("purelib")), where
print("testing", where.parent)
"""

nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.envdir = "build/nox"

if pyenv := os.environ.get("PYENV_ROOT"):  # all of its interpreters, whichever it is set to
    names = [path.name for path in Path(pyenv, "versions").glob("3.*")]
    os.environ.setdefault("PYENV_VERSION", ":".join(names))


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build the wheel from the source distribution, and unpack the latter without the package."""
    for folder in (DIST, TREE):
        shutil.rmtree(folder, ignore_errors=True)
    session.run("uv", "build", "--quiet", f"--out-dir={DIST}")
    [source] = DIST.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        members = [
            member.replace(name=path)
            for member in archive
            if (path := member.name.partition("/")[2]).partition("/")[0] not in PACKAGE
        ]
        archive.extractall(TREE, members, filter="data")


@nox.session(python=PYTHONS, requires=["build"])
def newest(session: nox.Session) -> None:
    """Run the suite with the newest versions of all extras, over httpx and over httpx2."""
    install(session, *EXTRAS, group="tests")
    for family in ("httpx", "httpx2"):
        pytest(session, HTTPX_FAMILY=family)


@nox.session(python=PYTHONS, requires=["build"])
def oldest(session: nox.Session) -> None:
    """Run the suite with the oldest versions allowed. The suite's own pytest is newer."""
    # Overrides, not constraints: the official SDK asks for a newer PyNaCl than this package.
    install(session, *EXTRAS, f"--overrides={lowest(session, *EXTRAS)}", group="tests")
    for family in ("httpx", "httpx2"):
        pytest(session, HTTPX_FAMILY=family)


@nox.session(python=PYTHONS, requires=["build"])
def bare(session: nox.Session) -> None:
    """Use the wheel without extras, then run the tests that need none."""
    install(session)
    use(session)
    session.run("python", "-I", "-W", "error", "examples/quickstart.py")
    install(session, group="tests-core")
    pytest(session, *without(*EXTRAS))


@nox.session(python=PYTHONS, requires=["build"])
@nox.parametrize("extra", [*EXTRAS, TESTING], ids=[*EXTRAS, TESTING])
def alone(session: nox.Session, extra: str) -> None:
    """Use the wheel with one extra, its oldest version, then its newest; run what is about it."""
    install(session, extra, f"--constraints={lowest(session, extra)}")
    use(session, extra)
    install(session, extra, "--upgrade")
    use(session, extra)
    # httpx2 brings tools of its own into the group.
    install(session, extra, group="tests" if extra == "httpx2" else "tests-core")
    pytest(session, *without(*{*EXTRAS} - {extra}, about=extra))


def install(session: nox.Session, *wanted: str, group: str = "") -> None:
    """Install the wheel with extras (names) and options (``--…``), and a group of tools."""
    [wheel] = DIST.glob("*.whl")
    options = [word for word in wanted if word.startswith("--")]
    extras = ",".join(word for word in wanted if word not in options)
    groups = [f"--group={ROOT / 'pyproject.toml'}:{group}"] if group else []
    session.install(f"{wheel}[{extras}]" if extras else str(wheel), *options, *groups)
    if group == "tests":  # see there
        apart = Path(session.virtualenv.location) / "apart"
        session.install("--no-deps", f"--target={apart}", f"{groups[0]}-apart")


def lowest(session: nox.Session, *extras: str) -> Path:
    """Give a file that pins what pyproject.toml names to the oldest version it allows."""
    pins = Path(session.virtualenv.location) / "oldest.txt"
    session.run(
        *("uv", "pip", "compile", "--quiet", "--no-deps", "--resolution=lowest-direct"),
        *(f"--extra={extra}" for extra in extras),
        *(f"--python-version={session.python}", f"--output-file={pins}", ROOT / "pyproject.toml"),
    )
    return pins


def use(session: nox.Session, *extras: str) -> None:
    """Use what is installed, and miss what is not."""
    session.chdir(TREE)
    session.run("python", "-I", "-W", "error", "tests/alone.py", *extras)


def without(*extras: str, about: str = "") -> list[str]:
    """Select tests: none that needs these extras; only those about one, where one is given.

    Files that import an extra at their top cannot even be collected without it. Within the
    others, tests are named after the extra; the pages of the documentation are not.
    """
    imports = re.compile(rf"^(?:import|from) (?:{'|'.join(extras)})\b", re.MULTILINE)
    files = [
        path.relative_to(TREE)
        for path in sorted((TREE / "tests").rglob("*.py"))
        if imports.search(path.read_text(encoding="utf-8"))
    ]
    named = [f"not {extra}" for extra in sorted(extras)]
    if about:
        named.append("testing_kit" if about == TESTING else about)
    left_out = [*files, "tests/test_docs.py"]
    return [*(f"--ignore={file}" for file in left_out), "-k", " and ".join(named)]


def pytest(session: nox.Session, *arguments: str, **env: str) -> None:
    """Run the tests that were unpacked; what they import is what is installed."""
    session.chdir(TREE)
    session.run("python", "-c", INSTALLED)
    session.run("python", "-m", "pytest", "-q", *ELSEWHERE, *arguments, env=env)
