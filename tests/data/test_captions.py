import pytest

from textpro.data.captions import describe
from textpro.data.corpora.labels import AGE_GROUPS


@pytest.mark.parametrize("group", AGE_GROUPS.values())
def test_an_age_in_decades_stands_behind_the_person(group: str) -> None:
    decades = group.replace(" to ", " or ")
    described = {
        gender: describe({"emotion": "angry", "age_group": group, "gender": gender})
        for gender in ("female", "male", "")
    }
    assert described == {
        "female": f"an angry woman in her {decades}",
        "male": f"an angry man in his {decades}",
        "": f"an angry person in their {decades}",
    }


@pytest.mark.parametrize(
    ("labels", "described"),
    [
        (
            {"style": "sad", "age_group": "elderly", "gender": "female", "pitch": "low"},
            "a sad elderly woman, speaking in a low voice",
        ),
        ({"style": "excited", "age_group": "child", "gender": "male"}, "an excited child"),
        ({"age_group": "adult", "gender": "male", "accent": "en-gb-scotland"}, "a man with a Scottish accent"),
        (
            {"age_group": "fifties to sixties", "accent": "England", "rate": "slow"},
            "a person in their fifties or sixties with a British accent, speaking slowly",
        ),
        ({"gender": "female"}, None),
    ],
)
def test_a_caption_tells_every_label_but_the_ordinary_ones(labels: dict[str, str], described: str | None) -> None:
    assert describe(labels) == described
