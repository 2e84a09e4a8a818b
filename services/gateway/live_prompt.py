"""What the LLM is asked for in a live session: the conversation, and how the answer is to be drawn."""

from dataclasses import replace

from services.contracts.realtime import ResponseWishes, Session
from services.gateway.conversation import Conversation, Item
from services.gateway.encoder_client import Speech
from services.gateway.llm_client import Message, Sampling
from services.gateway.settings import GatewaySettings


def messages(
    conversation: Conversation, config: Session, wishes: ResponseWishes, heard: Speech | None
) -> list[Message]:
    """The conversation, what may be its last words, and what the client wishes otherwise. A tone whose item was
    deleted meanwhile is nobody's."""
    instructions = config.instructions if wishes.instructions is None else wishes.instructions
    toneless = (wishes.prosody or config.prosody) == "off"
    items = list(conversation.items)
    if heard is not None:
        items.append(Item("", "user", heard.text, prosody=heard.prosody))
    tone = next((item.prosody for item in items if item.id == wishes.prosody_from), None)
    if tone is not None:
        last = max(place for place, item in enumerate(items) if item.kind == "user")
        items[last] = replace(items[last], prosody=tone)
    return Conversation(len(items), items).messages(instructions, toneless=toneless)


def sampling(config: Session, wishes: ResponseWishes, settings: GatewaySettings) -> Sampling:
    """What a response does not say is the session's, and what that does not say the house's."""
    wanted = wishes.max_output_tokens or config.max_output_tokens
    tools = config.tools if wishes.tools is None else wishes.tools
    choice = wishes.tool_choice or config.tool_choice
    return Sampling(
        max_tokens=min(settings.max_tokens_limit, settings.max_tokens if wanted == "inf" else wanted),
        temperature=config.temperature if wishes.temperature is None else wishes.temperature,
        tools=tuple({"type": "function", "function": tool.model_dump(exclude={"type"})} for tool in tools),
        tool_choice=choice if isinstance(choice, str) else {"type": "function", "function": {"name": choice.name}},
    )
