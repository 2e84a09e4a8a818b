"""Bodies that the gateway reads itself, described where FastAPI can't see them."""

from typing import Any

from pydantic import BaseModel


def request_body(model: type[BaseModel], media_type: str = "application/json") -> dict[str, Any]:
    """OpenAPI's request body of a request that has the model's fields."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    return {"required": True, "content": {media_type: {"schema": _inlined(schema, definitions)}}}


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
