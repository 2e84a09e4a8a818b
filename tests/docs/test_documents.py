"""The documents say what the code says: tables that are generated from it, flags, fields, endpoints, examples.

`python -m tests.docs.test_documents` rewrites the generated parts.
"""

import argparse
import ast
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from fastapi.routing import APIRoute

from services.cli import build_parser
from services.cli.config import settings_classes
from services.contracts.errors import INTERNAL, TABLE
from services.contracts.stream import StreamOptions
from services.encoder.http_app import http_app
from services.encoder.service import EncoderService
from services.encoder.settings import EncoderSettings
from services.encoder.worker import Worker
from services.gateway.app import create_app
from services.gateway.intake import ChatFields
from services.gateway.live import REFUSALS
from services.gateway.settings import GatewaySettings
from services.runtime.lifecycle import Readiness
from services.runtime.metrics import Metrics
from services.runtime.settings import ServiceSettings
from textpro.data.manifest import Clip
from textpro.data.paralinguistic import ATTRIBUTES, attribute

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL, OPERATIONS, TRAINING = (ROOT / "docs" / f"{name}.md" for name in ("protocol", "operations", "training"))
MOMENTS = ("first_token", "total")  # in timing_ms, and no stages
REWRITE = "python -m tests.docs.test_documents"


def settings_tables() -> str:
    """What `textpro config --markdown` prints."""
    return "\n".join(f"### {name}\n\n{settings.document()}" for name, settings in settings_classes().items())


def errors_table() -> str:
    rows = ["| error | HTTP | gRPC | WebSocket | type | code |", "| --- | --- | --- | --- | --- | --- |"]
    for kind, row in TABLE.items():
        code = getattr(kind, "code", None) or row.code
        shown = f"`{code}`" if code else ""
        rows.append(f"| {kind.__name__} | {row.http} | {row.grpc} | {row.websocket} | `{row.type}` | {shown} |")
    return "\n".join(rows) + "\n"


def metrics_table() -> str:
    metrics = Metrics("gateway")
    counters = {"counter": "_total"}
    rows = ["| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
    for metric in vars(metrics).values():
        if not hasattr(metric, "labels"):
            continue
        family = next(iter(metric.describe()))
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # the client has no public name for them
        name = family.name + counters.get(family.type, "")
        rows.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join(rows) + "\n"


def attributes_table() -> str:
    rows = ["| `--attributes` | label of the manifest | its values |", "| --- | --- | --- |"]
    for about in map(attribute, ATTRIBUTES):
        values = []
        for label in about.labels:
            other = [f"`{value}`" for value, meant in about.values.items() if meant == label and value != label.lower()]
            values.append(f"`{label}`" + (f" (or {', '.join(other)})" if other else ""))
        keys = " or ".join(f"`{key}`" for key in about.keys)
        rows.append(f"| `{about.name}` | {keys} | {', '.join(values) or 'any text'} |")
    return "\n".join(rows) + "\n"


def proto() -> str:
    return f"```proto\n{(ROOT / 'services' / 'contracts' / 'encoder.proto').read_text()}```\n"


GENERATED: dict[str, tuple[Path, Callable[[], str]]] = {
    "settings": (OPERATIONS, settings_tables),
    "metrics": (OPERATIONS, metrics_table),
    "errors": (PROTOCOL, errors_table),
    "proto": (PROTOCOL, proto),
    "attributes": (TRAINING, attributes_table),
}


def between_markers(text: str, name: str) -> re.Match[str]:
    found = re.search(rf"(<!-- {name}: begin -->\n)(.*?)(<!-- {name}: end -->)", text, re.DOTALL)
    assert found is not None, f"the markers of {name!r} are missing"
    return found


def rewrite() -> None:
    for name, (path, make) in GENERATED.items():
        text = path.read_text()
        found = between_markers(text, name)
        path.write_text(text[: found.start(2)] + "\n" + make() + "\n" + text[found.end(2) :])


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_part_is_what_the_code_says(name: str) -> None:
    path, make = GENERATED[name]
    stands = between_markers(path.read_text(), name).group(2).strip()
    assert stands == make().strip(), f"{path.relative_to(ROOT)} is out of date; rewrite it with: {REWRITE}"


def test_the_command_prints_the_tables_of_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    args = build_parser().parse_args(["config", "--markdown"])
    assert args.run(args) == 0
    assert capsys.readouterr().out == settings_tables()


def shared_by_design() -> set[str]:
    return set(ServiceSettings.variables())


def test_a_variable_has_one_meaning() -> None:
    seen: dict[str, str] = {}
    for name, settings in settings_classes().items():
        for variable in set(settings.variables()) - shared_by_design():
            assert variable not in seen, f"{variable} is a setting of {seen[variable]} and of {name}"
            seen[variable] = name


def routes() -> Iterator[str]:
    settings = EncoderSettings.model_construct()
    metrics = Metrics("encoder")
    worker = Worker(settings.limits, metrics)
    try:
        encoder = http_app(EncoderService(settings, worker, Readiness("model"), metrics))
        for app in (create_app(GatewaySettings.model_construct()), encoder):
            yield from (f"{m} {r.path}" for r in app.routes if isinstance(r, APIRoute) for m in r.methods or ())
    finally:
        worker.close()


def test_every_endpoint_of_the_gateway_and_the_encoder_is_described() -> None:
    text = PROTOCOL.read_text()
    assert not [route for route in routes() if f"{route}\n" not in text and f"`{route}`" not in text]


def test_every_field_of_a_turn_is_described() -> None:
    text = PROTOCOL.read_text()
    assert not [name for name in ChatFields.model_fields if f"| `{name}` |" not in text]


def test_every_option_message_and_event_of_a_stream_is_described() -> None:
    section = PROTOCOL.read_text().partition("### WS /v1/stream")[2].partition("### Limits")[0]
    described = {
        name for row in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE) for name in re.findall(r"\w+", row)
    }
    sources = (
        ROOT / "services" / path for path in ("contracts/stream.py", "gateway/stream.py", "gateway/stream_events.py")
    )
    types = set(re.findall(r'(?:type: Literal\[|"type": )"(\w+)"', "".join(path.read_text() for path in sources)))
    assert described == types | set(StreamOptions.model_fields)


def test_the_stages_that_the_gateway_measures_are_those_of_the_table() -> None:
    source = "".join(path.read_text() for path in (ROOT / "services" / "gateway").glob("*.py"))
    measured = set(re.findall(r'\.stage\("(\w+)"\)', source)) | {"other"}
    table = PROTOCOL.read_text().partition("### Times")[2].partition("### Events")[0]
    described = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert {name for name in described if not name.startswith("encoder_")} == measured
    heard = set(re.findall(r'\.stage\("(\w+)"\)', (ROOT / "textpro" / "decoding.py").read_text()))
    assert described - measured == {f"encoder_{name}" for name in heard | {"queue", "wire"}}


SERVICES = [path for path in sorted((ROOT / "services").rglob("*.py")) if not path.stem.endswith(("_pb2", "_pb2_grpc"))]


def strings(tree: ast.AST) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def codes(tree: ast.AST) -> set[str]:
    """What is given, or assigned, to a `code`."""
    nodes = list(ast.walk(tree))
    given = [node.value for node in nodes if isinstance(node, ast.keyword) and node.arg == "code"]
    for node in nodes:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "code" for t in node.targets):
            given.append(node.value)
    return {text for value in given for text in strings(value)}


def test_every_code_of_an_error_is_described() -> None:
    given = set(REFUSALS) | {INTERNAL.code} | {row.code for row in TABLE.values() if row.code}
    for path in SERVICES:
        given |= codes(ast.parse(path.read_text()))
    assert len(given) > len(TABLE)
    assert not {code for code in given if f"`{code}`" not in PROTOCOL.read_text()}


def test_every_operation_that_is_counted_is_described() -> None:
    source = "".join(path.read_text() for path in SERVICES)
    counted = set(re.findall(r'\b(?:admitted|serving)\([^()"]*"(\w+)"', source))
    assert "chat" in counted
    metrics = OPERATIONS.read_text().partition("Operations are ")[2].partition("\n")[0]
    assert set(re.findall(r"`(\w+)`", metrics.partition(". ")[0])) == counted


def objects(value: object) -> Iterator[dict[str, object]]:
    if isinstance(value, dict):
        yield value
    for below in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(below)


def examples(path: Path) -> list[object]:
    text = path.read_text()
    blocks = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [json.loads(block) for block in (*blocks, *re.findall(r"^data: (.*)$", text, re.MULTILINE))]


def test_the_times_of_every_example_add_up() -> None:
    found = [o for example in examples(PROTOCOL) for o in objects(example) if "total" in o.get("timing_ms", ())]
    assert found
    for timing_ms in (turn["timing_ms"] for turn in found):
        assert isinstance(timing_ms, dict)
        stages = {name: ms for name, ms in timing_ms.items() if name not in MOMENTS}
        assert sum(stages.values()) == pytest.approx(timing_ms["total"])


def test_the_example_of_a_manifest_line_has_the_keys_of_a_clip() -> None:
    (line,) = examples(TRAINING)
    assert isinstance(line, dict)
    assert list(line) == list(inspect.signature(Clip).parameters)


def test_every_alert_is_described() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    described = OPERATIONS.read_text().partition("## Alerts")[2].partition("## Settings")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", described, re.MULTILINE)) == alerts


def test_every_variable_of_the_compose_files_is_described() -> None:
    text = (ROOT / "docker-compose.yml").read_text() + (ROOT / "docker-compose.gpu.yml").read_text()
    used = set(re.findall(r"\$\{(\w+)", text)) | set(re.findall(r"^ +(\w+):$", text, re.MULTILINE)) & {
        "HF_TOKEN",
        "TEXTPRO_LLM_MODEL",
    }
    assert not [name for name in used if f"| `{name}` |" not in OPERATIONS.read_text()]


def leaves(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, set[str]]]:
    """Command -> its flags."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield " ".join(path), {o for a in parser._actions for o in a.option_strings if o.startswith("--")} - {"--help"}
    for action in below:
        for name, child in action.choices.items():
            yield from leaves(child, (*path, name))


COMMANDS = dict(leaves(build_parser()))


@pytest.mark.parametrize(
    ("path", "commands"),
    [
        (
            TRAINING,
            ("synthesize", "train whisperpro", *(c for c in COMMANDS if c.startswith("evaluate ")), "bundle export"),
        ),
        (OPERATIONS, ("up", "listen")),
    ],
    ids=["training", "operations"],
)
def test_every_flag_is_described(path: Path, commands: tuple[str, ...]) -> None:
    shown = set(re.findall(r"--[a-z-]+", path.read_text()))
    assert not {command: missing for command in commands if (missing := COMMANDS[command] - shown)}


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_every_textpro_command_that_is_shown_exists_with_its_flags(path: Path) -> None:
    text = path.read_text().replace("\\\n", " ")
    lines = [line for block in re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL) for line in
             block.splitlines()]  # fmt: skip
    for line in lines:
        shown = re.search(r"\.venv/bin/textpro ([a-z]+(?: [a-z][a-z-]*)*)(.*)", line.partition("#")[0])
        if shown is None:
            continue
        named = [command for command in COMMANDS if f"{shown[1].strip()} ".startswith(f"{command} ")]
        assert named, line
        assert set(re.findall(r"--[a-z-]+", shown[2])) <= COMMANDS[named[0]], line


def test_every_setting_that_a_document_names_exists() -> None:
    known = {variable for settings in settings_classes().values() for variable in settings.variables()}
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        named = set(re.findall(r"TEXTPRO_[A-Z_]*[A-Z]", path.read_text()))
        assert not named - known, path.name


if __name__ == "__main__":
    rewrite()
