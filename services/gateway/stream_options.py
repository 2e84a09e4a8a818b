"""The options of a plain live client, and what they mean for its session."""

from typing import Any

from services.contracts.errors import BadRequest
from services.contracts.stream import SYNONYMS, StreamOptions
from services.gateway.fields import invalid, longest_answer, validated
from services.gateway.formats import G711_RATE, Format
from services.gateway.settings import GatewaySettings
from textpro.audio import SAMPLE_RATE

STANDARD_PAUSE_MS = 500


def stream_options(
    given: dict[str, Any], settings: GatewaySettings, before: StreamOptions | None = None
) -> StreamOptions:
    """given: a query, or a first message, whose options go `before` those of the query. Raises BadRequest that names
    the option."""
    older = before.model_dump(exclude_unset=True) if before is not None else {}
    options = validated(StreamOptions, older | {SYNONYMS.get(name, name): value for name, value in given.items()})
    longest_answer(options.max_tokens, settings)
    if options.coding != "pcm" and options.rate not in (None, G711_RATE):
        raise invalid("rate", f"rate is {options.rate}; {options.coding} has {G711_RATE} samples a second")
    if options.speech == "on" and settings.speech == "off":
        message = "speech is on, and the gateway has no voice (TEXTPRO_SPEECH)"
        raise BadRequest(message, param="speech", code="no_voice")
    if options.pause_ms is not None and options.detection != "fixed":
        raise invalid("pause_ms", "pause_ms is of use with detection=fixed alone")
    return options


def input_format(options: StreamOptions) -> Format:
    """What the client sends."""
    return Format(options.coding, options.rate or (SAMPLE_RATE if options.coding == "pcm" else G711_RATE))


def output_format(options: StreamOptions) -> Format:
    """What the client gets where speech is on."""
    return Format("pcm", options.speech_rate or input_format(options).rate)


def configuration(options: StreamOptions, settings: GatewaySettings) -> dict[str, Any]:
    """The options as a change of a live session's configuration."""
    detection: dict[str, Any] | None = {"interrupt_response": options.interrupt == "on"}
    match options.detection:
        case "adaptive":
            detection["type"] = "semantic_vad"
        case "fixed":
            detection |= {"type": "server_vad", "silence_duration_ms": options.pause_ms or STANDARD_PAUSE_MS}
        case "none":
            detection = None
    return {
        "instructions": settings.instructions if options.instructions is None else options.instructions,
        "prosody": options.prosody,
        "eager": options.eager,
        "output_modalities": ["audio" if options.speech == "on" else "text"],
        "temperature": options.temperature,
        "max_output_tokens": longest_answer(options.max_tokens, settings),
        "audio": {"input": {"turn_detection": detection}},
    }
