"""What a client's `turn_detection` means for the turn machine."""

from dataclasses import replace

from services.contracts.realtime import SemanticVad, ServerVad, Session
from services.gateway.patience import Patience
from services.gateway.turn_settings import TurnSettings

PACE = {"low": 1.5, "medium": 1.0, "auto": 1.0, "high": 0.7}  # eagerness -> so many times the usual patience


def turn_settings(config: Session, standard: TurnSettings) -> tuple[TurnSettings, Patience]:
    """What a session's configuration means for its turns; what it does not say is the house's."""
    detection = config.audio.input.turn_detection
    standard = replace(standard, eager=standard.eager and config.eager == "on")
    match detection:
        case None:
            return replace(standard, detect=False), Patience()
        case ServerVad():
            found = replace(
                standard,
                adaptive=False,
                threshold=detection.threshold,
                prefix_ms=detection.prefix_padding_ms,
                pause_ms=detection.silence_duration_ms,
            )
        case SemanticVad():
            found = replace(standard, adaptive=True)
    scale = PACE[detection.eagerness] if isinstance(detection, SemanticVad) else 1.0
    asked = replace(found, answer=detection.create_response, interrupt=detection.interrupt_response)
    return asked, Patience().paced(scale)
