"""Prometheus' configuration and rules: what promtool says, and whether they speak of metrics that exist."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.contracts.errors import INTERNAL, TABLE, ServiceError
from services.encoder.settings import EncoderSettings
from services.gateway.settings import GatewaySettings
from services.llm.settings import LlmSettings

PROMETHEUS = Path("deploy/prometheus")
DEFAULT_PORTS = {
    "gateway": GatewaySettings.model_fields["port"].default,
    "encoder": EncoderSettings.model_fields["http_port"].default,
    "llm": LlmSettings.model_fields["port"].default,
}


@pytest.fixture(scope="module")
def rules(root: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((root / PROMETHEUS / "rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_promtool_accepts_the_configuration_and_the_rules_it_names(judge: Callable[..., str]) -> None:
    assert "1 rule files found" in judge("promtool", "check", "config", PROMETHEUS / "prometheus.yml")


def test_promtools_unit_tests_of_the_rules_pass(judge: Callable[..., str]) -> None:
    judge("promtool", "test", "rules", PROMETHEUS / "rules_test.yml")


def test_every_alert_has_a_unit_test_in_which_it_fires(root: Path, rules: list[dict[str, Any]]) -> None:
    tests = yaml.safe_load((root / PROMETHEUS / "rules_test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test.get("alert_rule_test", []) if case["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules if "alert" in rule}


def test_each_service_is_scraped_by_its_name_at_its_port(root: Path) -> None:
    jobs = yaml.safe_load((root / PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    found = {job["job_name"]: job["dns_sd_configs"][0] for job in jobs if "dns_sd_configs" in job}
    assert {name: (where["names"], where["port"]) for name, where in found.items()} == {
        name: ([name], port) for name, port in DEFAULT_PORTS.items()
    }


def test_the_error_ratio_counts_exactly_what_http_answers_with_5xx(rules: list[dict[str, Any]]) -> None:
    faults = [(kind, row) for kind, row in TABLE.items() if row.http >= 500]
    ours = {(kind.code if issubclass(kind, ServiceError) else None) or row.code or row.type for kind, row in faults}
    rule = next(rule for rule in rules if rule.get("record") == "service:textpro_request_errors:ratio_5m")
    counted = re.search(r'outcome=~"([^"]+)"', rule["expr"])
    assert counted
    assert set(counted[1].split("|")) == ours | {INTERNAL.code}
