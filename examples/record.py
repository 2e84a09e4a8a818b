"""Makes the recordings of this folder with espeak-ng's synthetic voices: `python examples/record.py`."""

import wave
from pathlib import Path

from textpro.data.speech_engines import SAMPLE_RATE
from textpro.data.synthesis import speak, trim
from textpro.data.voices import Delivery, Voice

TONE_VOICE = Voice("espeak-ng", "gmw/en-US+f3", "en-us", "female", "f3")
TONES = (
    Delivery("calm", pitch=58, range=34, rate_wpm=161, volume=87, break_ms=173, words_per_break=4),
    Delivery("excited", pitch=74, range=81, rate_wpm=215, volume=117),
    Delivery("angry", pitch=73, range=86, rate_wpm=218, volume=119, break_ms=69, words_per_break=1),
)
RECORDINGS = {
    "capital.wav": (
        "What is the capital of France?",
        Voice("espeak-ng", "gmw/en-US", "en-us", "male", "plain"),
        Delivery("neutral", pitch=50, range=50, rate_wpm=165, volume=100),
    ),
    "sum.wav": (
        "What is two plus two?",
        Voice("espeak-ng", "gmw/en+f2", "en-gb", "female", "f2"),
        Delivery("calm", pitch=40, range=40, rate_wpm=155, volume=85),
    ),
    "cats.wav": (
        "Why do cats like milk?",
        Voice("espeak-ng", "gmw/en-US+m3", "en-us", "male", "m3"),
        Delivery("excited", pitch=60, range=75, rate_wpm=185, volume=100),
    ),
}
# The same two sentences by one voice in three moods.
RECORDINGS |= {
    f"{name}-{tone.style}.wav": (text, TONE_VOICE, tone)
    for name, text in (("tone", "How do I sound?"), ("capital", "What is the capital of France?"))
    for tone in TONES
}


def main() -> None:
    """Writes 16 kHz mono PCM16 WAV files beside this one."""
    for name, (text, voice, delivery) in RECORDINGS.items():
        with wave.open(str(Path(__file__).parent / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(trim(speak(text, voice, delivery)).tobytes())


if __name__ == "__main__":
    main()
