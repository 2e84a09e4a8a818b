"""Rules and dashboards speak only of metrics, labels and label values that the services expose."""

import ast
import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

DASHBOARDS = Path("deploy/grafana/dashboards")
# vLLM's own, which the llm service exposes next to ours.
VLLM_METRICS = {
    "vllm:kv_cache_usage_perc",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:prefix_cache_hits_total",
    "vllm:prefix_cache_queries_total",
}
# Prometheus adds these when it scrapes; histograms add `le`.
SCRAPE_LABELS = {"job", "instance", "le"}
NAME = r"(?<![\w:])(?:textpro_\w+|vllm:\w+)"


@pytest.fixture(scope="module")
def dashboard(root: Path) -> dict[str, Any]:
    return json.loads((root / DASHBOARDS / "turn-latency.json").read_text())


@pytest.fixture(scope="module")
def expressions(root: Path, dashboard: dict[str, Any]) -> list[str]:
    """Every PromQL expression of the dashboard and the rules."""
    groups = yaml.safe_load((root / "deploy/prometheus/rules.yml").read_text())["groups"]
    rules = [rule["expr"] for group in groups for rule in group["rules"]]
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]] + rules


def strings_of(source: Path) -> set[str]:
    """Every string literal of a module, the constant parts of f-strings included."""
    tree = ast.parse(source.read_text())
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_metric_is_in_the_vocabulary(expressions: list[str], vocabulary: dict[str, set[str]]) -> None:
    named = {name for expression in expressions for name in re.findall(NAME, expression)}
    assert "textpro_stage_seconds_bucket" in named
    assert named <= vocabulary.keys() | VLLM_METRICS


def test_every_label_is_one_of_its_metric(expressions: list[str], vocabulary: dict[str, set[str]]) -> None:
    for expression in expressions:
        for name, selector in re.findall(rf"({NAME})\{{([^}}]*)\}}", expression):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            assert labels <= vocabulary[name] | SCRAPE_LABELS, f"{name}{{{selector}}}"


def test_grouping_keeps_only_labels_that_some_metric_of_the_expression_has(
    expressions: list[str], vocabulary: dict[str, set[str]]
) -> None:
    for expression in expressions:
        known = SCRAPE_LABELS.union(*(vocabulary.get(name, set()) for name in re.findall(NAME, expression)))
        grouped = {label for labels in re.findall(r"\bby \(([^)]*)\)", expression) for label in labels.split(", ")}
        assert grouped <= known, expression


def test_every_stage_named_is_one_that_the_service_measures(root: Path, expressions: list[str]) -> None:
    for expression in expressions:
        for selector in re.findall(r"textpro_stage_seconds\w*\{([^}]*)\}", expression):
            service = re.search(r'service="(\w+)"', selector)
            stage = re.search(r'stage="(\w+)"', selector)
            if service and stage:
                sources = (root / "services" / service[1]).rglob("*.py")
                measured = set().union(*(strings_of(source) for source in sources))
                assert stage[1] in measured, f"services/{service[1]} measures no stage {stage[1]!r}"


@pytest.mark.vllm
def test_vllm_still_names_its_metrics_so() -> None:
    spec = find_spec("vllm")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    sources = "".join(source.read_text() for source in (package / "v1" / "metrics").rglob("*.py"))
    # prometheus-client appends _total to a counter's name.
    assert not [name for name in VLLM_METRICS if f'"{name.removesuffix("_total")}"' not in sources]


def test_every_panel_reads_from_the_chosen_datasource(dashboard: dict[str, Any]) -> None:
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    for panel in dashboard["panels"]:
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(source["uid"] == "${datasource}" for source in sources), panel["title"]


def test_panels_have_names_of_their_own_and_do_not_overlap(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_grafana_is_given_the_datasource_and_the_folder_that_compose_mounts(root: Path) -> None:
    provisioning = root / "deploy/grafana/provisioning"
    source = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"][0]
    provider = yaml.safe_load((provisioning / "dashboards/textpro.yml").read_text())["providers"][0]
    compose = yaml.safe_load((root / "docker-compose.yml").read_text())["services"]["grafana"]
    assert source["url"] == "http://prometheus:9090"
    assert f"./{DASHBOARDS}:{provider['options']['path']}:ro" in compose["volumes"]
    home = compose["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (root / DASHBOARDS / Path(home).name).exists()
