"""The plugin in a project of somebody's own: found without a word, and no burden."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

pytest_plugins = ["pytester"]

ARGUMENTS = ("-q", "-W", "error", "-p", "no:cacheprovider")
FIVE_LINES = """
    def test_a_dead_token_is_renewed_once(cobo_client, cobo_simulator):
        cobo_client.get("/wallets")
        cobo_simulator.revoke_tokens()
        with cobo_simulator.expect(renewals=1, replays=1):
            assert len(cobo_client.get("/wallets").json()["data"]) == 3
"""


def test_five_lines_are_a_test(pytester: pytest.Pytester) -> None:
    """No conftest, no import, no configuration."""
    pytester.makepyfile(FIVE_LINES)
    pytester.runpytest_subprocess(*ARGUMENTS).assert_outcomes(passed=1)


def test_one_fixture_turns_the_five_lines_to_httpx2(pytester: pytest.Pytester) -> None:
    """In a conftest, for all tests."""
    pytester.makeconftest(
        """
        import httpx2
        import pytest
        from httpx_cobo_auth.httpx2 import CoboOAuth

        @pytest.fixture
        def cobo_auth(cobo_credentials):
            return CoboOAuth(**cobo_credentials)

        @pytest.fixture(autouse=True)
        def right_family(cobo_client, cobo_async_client):
            assert isinstance(cobo_client, httpx2.Client)
            assert isinstance(cobo_async_client, httpx2.AsyncClient)
        """
    )
    pytester.makepyfile(FIVE_LINES)
    pytester.runpytest_subprocess(*ARGUMENTS).assert_outcomes(passed=1)


def test_a_test_without_the_fixtures_pays_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the package nor anything that it imports, until a test asks for a fixture."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others import httpx and anyio
    pytester.makepyfile(
        """
        import sys

        NEEDED = {"httpx_cobo_auth", "httpx", "anyio", "nacl"}
        EXTRAS = {"httpx2", "keyring", "redis", "trio"}

        def test_without():
            assert "pytest_httpx_cobo_auth" in sys.modules
            assert not (NEEDED | EXTRAS) & sys.modules.keys()

        def test_with(cobo_client, cobo_async_client, cobo_environment):
            assert NEEDED <= sys.modules.keys()
            assert not EXTRAS & sys.modules.keys()
        """
    )
    outcome = pytester.runpytest_subprocess(*ARGUMENTS, "-p", "pytest_httpx_cobo_auth")
    outcome.assert_outcomes(passed=2)


def test_a_failure_ends_at_the_line_of_the_test(pytester: pytest.Pytester) -> None:
    """It says what arrived, and shows none of the tokens, not even with all variables."""
    pytester.makeconftest(
        """
        import pathlib
        import pytest

        @pytest.fixture(autouse=True)
        def tell_tokens(cobo_simulator):
            yield
            issued = [entry.issued for entry in cobo_simulator.log if entry.issued]
            secrets = [secret for pair in issued for secret in pair[:2]]
            pathlib.Path("secrets.txt").write_text("\\n".join(secrets))
        """
    )
    pytester.makepyfile(FIVE_LINES.replace("replays=1", "replays=2"))
    outcome = pytester.runpytest_subprocess(*ARGUMENTS, "-vv", "--showlocals")
    outcome.assert_outcomes(failed=1)
    outcome.stdout.fnmatch_lines(
        [
            ">       with cobo_simulator.expect(renewals=1, replays=2):",
            "E       AssertionError: not as expected:",
            "E       - replays: 1, not 2",
            "E       what arrived:",
            "E         1. GET /v2/wallets -> 500",
            "E         2. POST /v2/oauth/token -> 201",
            "E         3. GET /v2/wallets -> 200",
        ]
    )
    outcome.stdout.no_fnmatch_line("*_expectation.py*")
    secrets = (pytester.path / "secrets.txt").read_text(encoding="utf-8").split()
    assert len(secrets) == 4
    assert not [secret for secret in secrets if secret in outcome.stdout.str()]


def test_it_can_be_turned_off(pytester: pytest.Pytester) -> None:
    """As any plugin, by its name."""
    pytester.makepyfile(FIVE_LINES)
    outcome = pytester.runpytest_subprocess(*ARGUMENTS, "-p", "no:httpx_cobo_auth")
    outcome.assert_outcomes(errors=1)
    outcome.stdout.fnmatch_lines(["*fixture 'cobo_client' not found*"])


def test_every_fixture_is_told_by_pytest(pytester: pytest.Pytester) -> None:
    """With a docstring, as ``pytest --fixtures`` prints it, and a prefix that is ours."""
    told = pytester.runpytest_subprocess("--fixtures", "-p", "no:cacheprovider").stdout.str()
    ours = [line.split()[0] for line in told.splitlines() if "pytest_httpx_cobo_auth.py" in line]
    assert sorted(ours) == [
        "cobo_async_client",
        "cobo_auth",
        "cobo_client",
        "cobo_clock",
        "cobo_credentials",
        "cobo_environment",
        "cobo_settings",
        "cobo_simulator",
    ]
    described = told.partition("cobo_settings")[2]
    assert "no docstring available" not in described.partition("fixtures defined from")[0]
