"""OpenAI's list of models, of which there is one."""

from typing import Literal

from pydantic import BaseModel, Field

from services.contracts.errors import NotFound

SHOWN = 80  # characters of a refused name


class ModelBody(BaseModel):
    """A model that requests may name."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(default=0, description="Not known: 0.")
    owned_by: str = "textpro"


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelBody]


def check_model(model: str | None, served: str) -> None:
    """Raises NotFound for another model's name; none at all is as good as the right one."""
    if model not in (None, served):
        message = f"the model {model[:SHOWN]!r} does not exist; this service serves {served!r}"
        raise NotFound(message, param="model", code="model_not_found")
