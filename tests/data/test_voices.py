import random

import pytest

from textpro.data.voices import HELD_OUT_VARIANTS, STYLES, Delivery, Style, held_out, voices


def test_no_voice_is_both_seen_and_held_out() -> None:
    assert not set(voices("seen")) & set(voices("held_out"))


def test_voices_have_distinct_names() -> None:
    every = voices("seen") + voices("held_out")
    assert len({voice.name for voice in every}) == len(every)


def test_a_held_out_variant_is_never_seen_in_any_accent() -> None:
    assert not {voice.variant for voice in voices("seen")} & HELD_OUT_VARIANTS


def test_two_men_and_two_women_are_held_out_in_every_accent() -> None:
    kept_back = [voice for voice in voices("held_out") if held_out(voice) == "variant"]
    accents = {voice.accent for voice in kept_back}
    for accent in accents:
        assert sorted(voice.gender for voice in kept_back if voice.accent == accent) == ["female"] * 2 + ["male"] * 2


def test_a_held_out_pair_is_of_an_accent_and_a_variant_that_are_both_seen() -> None:
    seen = voices("seen")
    pairs = [voice for voice in voices("held_out") if held_out(voice) == "pair"]
    assert 0.03 < len(pairs) / len(seen) < 0.08
    assert {voice.accent for voice in pairs} <= {voice.accent for voice in seen}
    assert {voice.variant for voice in pairs} <= {voice.variant for voice in seen}


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_a_style_draws_within_its_bounds(style: Style) -> None:
    rng = random.Random(1)
    for _ in range(200):
        delivery = style.draw(rng)
        assert delivery.style == style.name
        assert style.pitch[0] <= delivery.pitch <= style.pitch[1]
        assert style.range[0] <= delivery.range <= style.range[1]
        assert style.rate_wpm[0] <= delivery.rate_wpm <= style.rate_wpm[1]
        assert style.volume[0] <= delivery.volume <= style.volume[1]


def test_pitch_and_rate_fall_into_three_bins_each() -> None:
    bins = [Delivery("neutral", pitch, 50, rate, 100) for pitch, rate in ((10, 110), (50, 175), (90, 230))]
    assert [delivery.pitch_bin() for delivery in bins] == ["low", "middle", "high"]
    assert [delivery.rate_bin() for delivery in bins] == ["slow", "normal", "fast"]
