"""Makes the recordings of this folder with espeak-ng's synthetic voices: `python examples/record.py`."""

import wave
from pathlib import Path

from textpro.data.room import Room
from textpro.data.speech_engines import SAMPLE_RATE
from textpro.data.synthesis import speak, trim
from textpro.data.voices import STYLES, Delivery, Style, Voice

TONE_VOICE = Voice("espeak-ng", "gmw/en-GB-x-rp+Andy", "en-gb-x-rp", "male", "Andy")
ROOM = Room(before_s=0.3, after_s=0.3, level_dbfs=-70, seed=1)


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


def middle(style: Style) -> Delivery:
    """The style as it is in the middle of its bounds."""
    bounds = (style.pitch, style.range, style.rate_wpm, style.volume, style.break_ms, style.words_per_break)
    return Delivery(style.name, *((least + most) // 2 for least, most in bounds))


# The same sentences by one voice in several moods.
RECORDINGS |= {
    f"{name}-{style.name}.wav": (text, TONE_VOICE, middle(style))
    for name, text, moods in (
        ("tone", "How do I sound?", ("calm", "excited", "angry")),
        ("choice", "Am I calm or angry?", ("calm", "angry")),
        ("capital", "What is the capital of France?", ("calm", "excited", "angry")),
    )
    for style in STYLES
    if style.name in moods
}


def main() -> None:
    """Writes 16 kHz mono PCM16 WAV files beside this one, as from a quiet room."""
    for name, (text, voice, delivery) in RECORDINGS.items():
        with wave.open(str(Path(__file__).parent / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(ROOM.around(trim(speak(text, voice, delivery))).tobytes())


if __name__ == "__main__":
    main()
