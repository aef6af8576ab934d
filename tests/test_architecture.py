"""The shape of the package: who may import whom, how long a module is, what it exports.

And of these tests: that each says what must hold, and that none is tied to one family.
"""

from __future__ import annotations

import ast
import importlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blockbuster import BlockingError

import httpx_cobo_auth
from tests.passes import OWN_CHOICE, WITHOUT_CLIENT

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "httpx_cobo_auth"
ROOT = Path(httpx_cobo_auth.__path__[0])
MAX_LINES = 300
TESTS = Path(__file__).parent
OF_ONE_FAMILY = (
    *(
        "httpx.",
        "httpx2.",
        f"{PACKAGE}.httpx2.",
        f"{PACKAGE}._auth.httpx.",
        f"{PACKAGE}._auth.portal.",
    ),
    *(f"{PACKAGE}.CoboAuth.", f"{PACKAGE}.CoboOAuth.", f"{PACKAGE}.PortalApp."),
)

# From the ground up. A module imports from lines above its own, never from its own line
# or below; a name that ends in a dot stands for a whole room, whose members may import each
# other without circles.
LAYERS = [
    ("_cell", "_confidential", "_forking", "clock", "errors"),
    ("environment", "events"),
    ("_protocol.",),
    ("callback", "records", "stores."),
    ("_runtime.",),
    ("_auth.",),
    ("__init__", "httpx2"),
    ("testing.",),
    ("_cli.",),
    ("__main__",),
]

# What decides. It waits for nothing: no network, no files, no event loops; `_cell` asks for the
# number of the process, and that is all.
PURE_ROOMS = (
    "_confidential",
    "_protocol.",
    "clock",
    "environment",
    "errors",
    "events",
)
IMPURE_IMPORTS = {
    *("httpx", "httpx2", "httpcore", "anyio", "asyncio", "trio", "sniffio"),
    *("socket", "ssl", "multiprocessing", "concurrent", "subprocess", "select"),
    *("filelock", "keyring", "redis", "os", "pathlib", "tempfile", "shutil"),
}


def modules() -> dict[str, Path]:
    """Every module by its name below the package: ``flow``, ``stores.file``, ``__init__``."""
    found: dict[str, Path] = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts)] = path
    return found


MODULES = modules()


def every_import(path: Path) -> Iterator[str]:
    """Absolute names imported anywhere in the module, under TYPE_CHECKING and lazily, too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                member = f"{node.module}.{alias.name}"
                yield member if is_module(member) else str(node.module)


def is_module(name: str) -> bool:
    """Return whether the dotted name is a module or subpackage of the package."""
    name = name.removeprefix(f"{PACKAGE}.")
    return name in MODULES or f"{name}.__init__" in MODULES


def internal_imports(path: Path) -> set[str]:
    """Which of our own modules the module imports."""
    names: set[str] = set()
    for name in every_import(path):
        if name == PACKAGE:
            names.add("__init__")
        elif name.startswith(f"{PACKAGE}."):
            below = name.removeprefix(f"{PACKAGE}.")
            names.add(below if below in MODULES else f"{below}.__init__")
    return names


def layer_of(module: str) -> tuple[int, str]:
    """Which layer a module belongs to, and under which entry of it."""
    for depth, entries in enumerate(LAYERS):
        for entry in entries:
            if module == entry or (entry.endswith(".") and module.startswith(entry)):
                return depth, entry
    pytest.fail(f"{module} has no place in LAYERS")


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_strictly_downward(module: str) -> None:
    """Under ``TYPE_CHECKING`` and inside of functions as well; a new module needs a place."""
    depth, entry = layer_of(module)
    for imported in internal_imports(MODULES[module]):
        below, entry_below = layer_of(imported)
        within_subpackage = entry == entry_below and entry.endswith(".")
        assert below < depth or within_subpackage, f"{module} imports {imported}"


def test_imports_have_no_circles() -> None:
    """Taking away what imports nothing that is left, again and again, leaves nothing."""
    graph = {module: internal_imports(path) for module, path in MODULES.items()}
    while graph:
        leaves = {module for module, imports in graph.items() if not imports & graph.keys()}
        assert leaves, f"a circle among {sorted(graph)}"
        graph = {module: imports for module, imports in graph.items() if module not in leaves}


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith(PURE_ROOMS)])
def test_what_decides_does_no_io(module: str) -> None:
    """Neither network, files nor event loops, not even by way of another module of ours."""
    roots = {name.partition(".")[0] for name in every_import(MODULES[module])}
    assert not roots & IMPURE_IMPORTS
    ours = internal_imports(MODULES[module]) - {"_cell"}
    assert all(imported.startswith(PURE_ROOMS) for imported in ours)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_one_job_and_fits_in_the_head(module: str) -> None:
    """Fewer than 300 lines."""
    lines = MODULES[module].read_text(encoding="utf-8").count("\n")
    assert lines < MAX_LINES


@pytest.mark.parametrize("module", [name for name in MODULES if "._" not in f".{name}"])
def test_exports_are_declared_and_complete(module: str) -> None:
    """``__all__`` names what is there, once, and every public definition of the module."""
    # That they are sorted, ruff sees to (RUF022).
    namespace = importlib.import_module(f"{PACKAGE}.{module}".removesuffix(".__init__"))
    exported: list[str] = namespace.__all__
    assert len(exported) == len(set(exported))
    assert not [name for name in exported if not hasattr(namespace, name)]
    assert public_definitions(MODULES[module]) <= set(exported)


def public_definitions(path: Path) -> set[str]:
    """Public names that a module defines at its top level, or that a package passes on."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                names.add(name)
            case ast.AsyncFunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Assign(targets=targets):
                names.update(target.id for target in targets if isinstance(target, ast.Name))
            case ast.ImportFrom(module=str(source)) if path.stem == "__init__":
                if source.startswith(PACKAGE):
                    names.update(alias.asname or alias.name for alias in node.names)
            case _:
                pass
    return {name for name in names if not name.startswith("_")}


async def test_blocking_the_event_loop_does_not_go_unnoticed(blocking_calls: list[str]) -> None:
    """``time.sleep`` in the package's folder raises, and is told by the fixture."""
    # To blockbuster, which compares the beginnings of paths, this seems to be the package's
    # own code; to coverage, which resolves them, it does not.
    code = compile("time.sleep(0)", ROOT / ".." / "made_up.py", "exec")
    with pytest.raises(BlockingError):
        exec(code, {"time": time})  # noqa: S102 - three words of our own
    assert blocking_calls == ["time.sleep"]
    blocking_calls.clear()


# ------------------------------------------------------------------------------- these tests
def test_every_test_says_what_must_hold() -> None:
    """In its docstring: the name has no room for the condition, the number and the reason."""
    silent = [
        f"{path.relative_to(TESTS)}::{node.name}"
        for path in sorted(TESTS.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert not silent


def test_no_test_is_tied_to_one_family() -> None:
    """Clients and auth classes come from ``tests.family``, or a second pass changes nothing."""
    free = ("family.py", "test_family.py", "typing/", *OWN_CHOICE)
    names = {path: path.relative_to(TESTS).as_posix() for path in sorted(TESTS.rglob("*.py"))}
    tied = {
        name: taken
        for path, name in names.items()
        if not name.startswith(free)
        for taken in imports_at_run_time(path)
        if f"{taken}.".startswith(OF_ONE_FAMILY)
    }
    assert not tied


def imports_at_run_time(path: Path) -> set[str]:
    """What a module imports, as ``module.name``, but for what only type checkers see."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unseen = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        for node in ast.walk(statement)
    }
    names: set[str] = set()
    for node in set(ast.walk(tree)) - unseen:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("name", WITHOUT_CLIENT)
def test_what_runs_over_one_family_only_has_nothing_of_it(name: str) -> None:
    """Nor has any module of the tests that it imports: a second pass would show nothing new."""
    there = TESTS / name
    left = set(there.rglob("*.py")) if there.is_dir() else {there}
    seen: set[Path] = set()
    while left:
        path = left.pop()
        seen.add(path)
        imported = {taken for taken in every_import(path) if taken.startswith("tests.")}
        assert "tests.family" not in imported, path
        left |= {TESTS.parent.joinpath(*each.split(".")).with_suffix(".py") for each in imported}
        left -= seen
    assert seen
