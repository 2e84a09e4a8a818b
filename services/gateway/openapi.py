"""Bodies that the gateway reads itself, described where FastAPI can't see them."""

from typing import Any

from pydantic import BaseModel


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """OpenAPI's request body of a request that has the model's fields."""
    return {"required": True, "content": {"application/json": {"schema": _schema(model)}}}


def form_body(model: type[BaseModel]) -> dict[str, Any]:
    """The same as a form."""
    schema = _schema(model)
    schema["properties"] = text_fields(model)
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def text_fields(model: type[BaseModel]) -> dict[str, Any]:
    """The schemas of a model's fields where they are sent as text, in a form or a query: there none is null."""
    return {name: _without_null(field) for name, field in _schema(model)["properties"].items()}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    return _inlined(schema, schema.pop("$defs", {}))


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in field.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return field
    rest = {name: value for name, value in field.items() if name not in ("anyOf", "default")}
    return rest | kinds[0]


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """The schema with what it refers to in the references' places: inside a document they would lead nowhere."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    # A discriminator's mapping names the references that are gone.
    return {name: _inlined(value, definitions) for name, value in schema.items() if name != "discriminator"}
