"""How a conversation's turns are to be: what the machine in turn.py goes by."""

from dataclasses import dataclass

from services.gateway.settings import GatewaySettings

LONGEST_S = 60.0  # utterance that the encoder takes


@dataclass(frozen=True)
class TurnSettings:
    """When somebody speaks, when they have finished, and what may interrupt whom. Times in audio, not on a clock,
    except the two timeouts.

    detect: find utterances by voice activity; without it the client commits them. adaptive: wait as long as the words
    suggest (`Heard.pause_ms`), and `pause_ms` only where they are not known. answer: answer what was committed unasked;
    answer_commits: also where the client finds the utterances.
    """

    detect: bool = True
    adaptive: bool = True
    answer: bool = True
    answer_commits: bool = False
    threshold: float = 0.5  # probability from which on somebody speaks
    hysteresis: float = 0.15  # speech goes on until so much below it
    lag_ms: float = 32  # from the end of a voice to the end of its activity, as Silero has it
    prefix_ms: float = 300  # kept from before the speech: its first sound is often too soft to be noticed
    tail_ms: float = 96  # and from after it
    min_speech_ms: float = 96  # shorter sounds are no speech: a click, a cough
    gap_ms: float = 160  # silence that ends such a sound
    eager: bool = True
    eager_ms: float = 96  # the pause that makes an eager answer
    max_eager: int = 4  # eager answers to one utterance
    resume_ms: float = 64  # speech in a pause that ends the pause
    partial_ms: float = 640  # more speech after which its words so far are looked for; 0: never before a pause
    partial_share: float = 0.125  # and so much of what was said: long speech is not heard again and again
    pause_ms: float = 500
    max_pause_ms: float = 2000  # the longest that words may suggest
    interrupt: bool = True  # speech over an answer ends it
    interrupt_ms: float = 120  # so much of it
    max_utterance_ms: float = 1000 * LONGEST_S  # a longer one is committed in parts
    max_unheard: int = 8  # committed utterances that wait for the encoder; for one more the oldest is given up
    hear_timeout_s: float = 30
    answer_timeout_s: float = 120  # without a piece of it

    @classmethod
    def of(cls, settings: GatewaySettings, *, answer_commits: bool) -> "TurnSettings":
        """Those of a new conversation."""
        return cls(
            answer_commits=answer_commits,
            partial_ms=settings.partial_ms,
            max_utterance_ms=1000 * min(LONGEST_S, settings.max_seconds),
            hear_timeout_s=settings.encode_timeout_s,
            answer_timeout_s=settings.turn_timeout_s,
        )
