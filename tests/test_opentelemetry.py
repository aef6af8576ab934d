"""The recipe for OpenTelemetry of the page "Operations": what it measures, and does not show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from httpx_cobo_auth import CoboOAuth, TokenRefusedError
from tests.pages import ROOT, blocks_of

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock


class Recipe:
    """The block of the page, with what it measures kept in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reader, self.spans = InMemoryMetricReader(), InMemorySpanExporter()
        tracing = TracerProvider()
        tracing.add_span_processor(SimpleSpanProcessor(self.spans))
        meters = MeterProvider([self.reader])
        monkeypatch.setattr(metrics, "get_meter", meters.get_meter)
        monkeypatch.setattr(trace, "get_tracer", tracing.get_tracer)
        [block] = [
            block.code
            for block in blocks_of(ROOT / "docs" / "operations.md")
            if "opentelemetry" in block.code
        ]
        definitions, _, _ = block.partition("\nauth = ")
        names: dict[str, Any] = {"__name__": "recipe"}
        exec(compile(definitions, "operations.md", "exec", dont_inherit=True), names)  # noqa: S102 - documentation of our own
        self.measure, self.transport = names["measure"], names["TracingTransport"]

    def points(self) -> list[tuple[str, dict[str, Any], Any]]:
        """Return what was measured: instrument, attributes, point."""
        data: Any = self.reader.get_metrics_data()
        return [
            (metric.name, dict(point.attributes), point)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        ]


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """What the page shows."""
    return Recipe(monkeypatch)


def test_events_are_counted_and_token_requests_are_spans(
    recipe: Recipe, running: CoboSimulator, ticking: ManualClock
) -> None:
    """Good days and bad ones, over a socket; nothing of it shows a token or the key."""
    running.expired_status = 401
    with running.serve():
        auth = CoboOAuth(**running.credentials, on_event=recipe.measure)
        with auth.client(transport=recipe.transport()) as client:
            running.inject("token", "delay", delay_s=0.2)
            client.get("/wallets").raise_for_status()
            running.revoke_tokens()
            client.get("/wallets").raise_for_status()
            running.inject("api", status=401, error_code=2024)
            assert client.get("/wallets").status_code == 401
            ticking.advance(running.token_lifetime)
            running.inject("token", "drop")
            client.get("/wallets").raise_for_status()
    points = recipe.points()
    counts = {
        tuple(value for name, value in attributes.items() if name != "org_id"): point.value
        for name, attributes, point in points
        if name == "cobo.events"
    }
    assert counts[("TokenAcquired",)] == 2
    assert counts[("TokenRenewed",)] == 1
    assert counts[("RequestReplayed",)] == 1
    assert counts["RequestRefused", "401"] == 1
    [wait] = [point for name, _, point in points if name == "cobo.renewal.wait"]
    assert wait.count >= 1
    assert wait.max >= 0.2
    spans = recipe.spans.get_finished_spans()
    assert [span.name for span in spans] == ["cobo.token_request"] * 4
    failed = [dict(span.attributes or {}) for span in spans if not span.status.is_ok]
    [error] = [attributes["error.type"] for attributes in failed if "error.type" in attributes]
    assert error in {"ReadError", "RemoteProtocolError"}
    shown = f"{[span.to_json() for span in spans]} {points}"
    issued = [entry.issued for entry in running.log if entry.issued]
    secrets = {text for one in issued for text in (one.access_token, one.refresh_token)}
    assert len(secrets) == 2 * 4
    assert not [secret for secret in {running.app_secret, *secrets} if secret in shown]


def test_a_failed_renewal_is_counted_by_the_kind_of_its_error(
    recipe: Recipe, running: CoboSimulator
) -> None:
    """By its class; what Cobo said of it may be long."""
    running.uninstall()
    with running.serve():
        auth = CoboOAuth(**running.credentials, on_event=recipe.measure)
        with auth.client(transport=recipe.transport()) as client, pytest.raises(TokenRefusedError):
            client.get("/wallets")
    [(_, attributes, _)] = recipe.points()
    assert attributes["error.type"] == "TokenRefusedError"
