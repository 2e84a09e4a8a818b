"""A live session between two gateways: all that the second one needs to go on where the first one was lost."""

from dataclasses import dataclass, field
from typing import Any, Self

from services.contracts.realtime import ResponseWishes, Session
from services.gateway.conversation import Conversation, Item
from services.gateway.live_events import Response


@dataclass(frozen=True)
class Unfinished:
    """An answer that had begun. output: ids of its finished items; item: of the one that was being given."""

    id: str
    wishes: ResponseWishes
    eager: bool
    output: list[str]
    item: str | None

    @classmethod
    def of(cls, response: Response, item: Item | None) -> Self:
        output = [done.id for done in response.output]
        return cls(response.id, response.wishes, response.eager, output, item.id if item else None)

    def found(self, conversation: Conversation) -> tuple[Response, Item | None]:
        """The answer and its open item, with those of its items that are still in the conversation."""
        items = {item.id: item for item in conversation.items}
        output = [items[item_id] for item_id in self.output if item_id in items]
        item = items.get(self.item or "")
        spoken = any(given.spoken for given in (*output, item) if given is not None)
        return Response(self.id, self.wishes, self.eager, spoken, output), item

    def to_json(self) -> dict[str, Any]:
        fields = {"id": self.id, "eager": self.eager, "output": self.output, "item": self.item}
        return fields | {"wishes": self.wishes.model_dump(mode="json")}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        given: dict[str, Any] = fields | {"wishes": ResponseWishes.model_validate(fields["wishes"])}
        return cls(**given)


@dataclass(frozen=True)
class LeftBehind:
    """position: where the sound begins that is still needed, in samples of the session's one stream. wanted: the answer
    that is owed and had not begun."""

    config: Session = field(default_factory=Session)
    items: list[Item] = field(default_factory=list)
    position: int = 0
    was_speaking: bool = False
    answer: Unfinished | None = None
    wanted: ResponseWishes | None = None

    def to_json(self) -> dict[str, Any]:
        """All but the items."""
        return {
            "config": self.config.model_dump(mode="json"),
            "position": self.position,
            "was_speaking": self.was_speaking,
            "answer": None if self.answer is None else self.answer.to_json(),
            "wanted": None if self.wanted is None else self.wanted.model_dump(mode="json"),
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any], items: list[Item]) -> Self:
        answer, wanted = fields["answer"], fields["wanted"]
        return cls(
            config=Session.model_validate(fields["config"]),
            items=items,
            position=fields["position"],
            was_speaking=fields["was_speaking"],
            answer=None if answer is None else Unfinished.from_json(answer),
            wanted=None if wanted is None else ResponseWishes.model_validate(wanted),
        )
