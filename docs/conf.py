"""How the site is made of the pages beside this file, the README and the docstrings.

The pages are plain Markdown that leads from file to file, as a code host shows it. Only the
links that leave this folder have to be turned into links to pages of the site.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "httpx-cobo-auth"
version = release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.linkcode",  # viewcode does not find what a class inherits
    "sphinx_copybutton",
]

html_theme = "furo"
html_title = f"{project} {version}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False

nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!httpx_cobo_auth).*"),  # other projects' names; theirs are not on this machine
    (r"py:.*", r".*\._.*"),  # private names in signatures
]
myst_heading_anchors = 3
add_module_names = False
autodoc_member_order = "bysource"
maximum_signature_line_length = 88
napoleon_custom_sections = [("Attributes", "params_style")]  # a list, as of arguments

copybutton_exclude = ".linenos, .gp, .go"  # neither prompts nor output

_ROOT = Path(__file__).resolve().parent.parent
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
_SOURCE = _PROJECT["urls"]["Source"]
_COMMIT = os.environ.get("READTHEDOCS_GIT_COMMIT_HASH", "main")
_PAGES = {
    "README": "index",
    "CHANGELOG": "changelog",
    "CONTRIBUTING": "contributing",
    "SECURITY": "security",
}
_PAGE = re.compile(rf"\]\((?:\.\./)?({'|'.join(_PAGES)})\.md")
_GUIDE = re.compile(r"\]\(docs/")
_EXAMPLE = re.compile(r"\]\((?:\.\./)?examples/(\w+\.py)\)")
_CLIENT = re.compile(r"~?[\w.]*\b_(Client|AsyncClient)\b")  # type variables: httpx's or httpx2's
_AUTH = re.compile(r"~?[\w.]*\b_Auth\b")
# What is met, and not made.
_MET = re.compile(
    r"httpx_cobo_auth\.(errors\.|testing\.(Counters|Expectation|Fault|Hold|IssuedToken|LogEntry)$)"
)


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Return where the source of a name is, as lines of a file; called by Sphinx."""
    if domain != "py":
        return None
    found: Any = importlib.import_module(info["module"])
    for name in info["fullname"].split("."):
        found = inspect.getattr_static(found, name, None)
    found = getattr(found, "fget", None) or getattr(found, "__func__", found)
    try:
        file = Path(inspect.getsourcefile(found) or "").resolve()
        lines, first = inspect.getsourcelines(found)
    except (TypeError, OSError):  # a constant, or an attribute that is only declared
        return None
    if not file.is_relative_to(_ROOT):
        return None
    path = file.relative_to(_ROOT).as_posix()
    return f"{_SOURCE}/blob/{_COMMIT}/{path}#L{first}-L{first + len(lines) - 1}"


def setup(app: Sphinx) -> None:
    """Have the hooks called."""
    app.connect("source-read", _on_source_read)
    app.connect("include-read", _on_include_read)
    app.connect("autodoc-process-signature", _on_signature)


def _on_source_read(_app: Sphinx, _page: str, content: list[str]) -> None:
    content[0] = _inward(content[0])


def _on_include_read(_app: Sphinx, _file: Path, _page: str, content: list[str]) -> None:
    content[0] = _inward(content[0])


def _inward(text: str) -> str:
    """Lead links between files of the repository to pages of the site."""
    text = _PAGE.sub(lambda found: f"]({_PAGES[found[1]]}.md", text)
    return _EXAMPLE.sub(r"](#\1)", _GUIDE.sub("](", text))


def _on_signature(
    _app: Sphinx,
    _kind: str,
    name: str,
    _described: object,
    _options: object,
    arguments: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """Leave out how things are made that nobody makes, and write the rest plainly."""
    if arguments == "(*args, **kwargs)" or (arguments and _MET.match(name)):
        return "", None
    return _plain(arguments), _plain(returned)


def _plain(signature: str | None) -> str | None:
    if signature is None:
        return None
    # Sphinx lays out what parses as Python, and the sign for a default made anew does not.
    signature = signature.replace("<factory>", "...")
    return _AUTH.sub("CoboOAuth", _CLIENT.sub(r"\1", signature))
