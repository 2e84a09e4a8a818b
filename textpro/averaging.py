"""The mean of several bundles' weights, which may hear better than any of them: "model soups" (Wortsman et al. 2022).

It works where the parts were trained from one another or from one start, so that the way between them is smooth.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from textpro.bundle import Bundle, load_training, save
from textpro.errors import BundleError
from textpro.whisperpro import WhisperPro


def average(parts: Sequence[tuple[Bundle, float]], out: Path) -> Bundle:
    """Saves the mean of the Whispers, each with its weight, as a bundle in `out`; weights need not sum to one.

    Name, settings and tokenizer are the first part's. The reconstructor is averaged where every part has one and else
    left out; so are projectors, adapters and LLMs, which were taught the prosody of one part.
    Raises BundleError for fewer than two parts, a weight that is not a positive number, or parts that differ in shape.
    """
    _check_weights(parts)
    with_reconstructor = all(bundle.reconstructor_path is not None for bundle, _ in parts)
    (first, weight), *others = parts
    model, tokenizer = load_training(first, with_reconstructor=with_reconstructor)
    wanted = _signature(model, tokenizer)
    total = {name: weight * value for name, value in model.state_dict().items()}
    for bundle, weight in others:
        other, its_tokenizer = load_training(bundle, with_reconstructor=with_reconstructor)
        _check_alike(bundle, _signature(other, its_tokenizer), first, wanted)
        for name, value in other.state_dict().items():
            total[name] += weight * value
    sum_of_weights = sum(weight for _, weight in parts)
    model.load_state_dict({name: value / sum_of_weights for name, value in total.items()})
    made_from = ", ".join(f"{bundle.config.name} {bundle.fingerprint} × {weight:g}" for bundle, weight in parts)
    config = replace(first.config, llm=None, made_from={"mean": made_from})
    return save(out, model.whisper, tokenizer, config, reconstructor=model.reconstructor)


def _check_weights(parts: Sequence[tuple[Bundle, float]]) -> None:
    if len(parts) < 2:
        raise BundleError(f"a mean is made of two bundles or more; there are {len(parts)}")
    for bundle, weight in parts:
        if not 0 < weight < math.inf:
            raise BundleError(f"the weight of {bundle.path} is {weight:g}; expected a positive number")


def _signature(model: WhisperPro, tokenizer: PreTrainedTokenizerBase) -> dict[str, object]:
    """What the parts of a mean have in common, each by the name that an error gives it."""
    whisper = model.whisper.config
    heads = [whisper.encoder_attention_heads, whisper.decoder_attention_heads]
    if model.reconstructor is not None:
        heads.append(model.config.reconstructor.n_heads)
    return {
        "tap": model.config.tap,
        "tokenizer": tokenizer.get_vocab(),
        "attention heads": heads,
        "activation": whisper.activation_function,
        **{f"{name} (its shape)": value.shape for name, value in model.state_dict().items()},
    }


def _check_alike(bundle: Bundle, found: dict[str, object], first: Bundle, wanted: dict[str, object]) -> None:
    differing = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if differing:
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise BundleError(
            f"{bundle.path} has no mean with {first.path}: they differ in {differing[0]}{more}; "
            "expected one architecture, tokenizer and tap"
        )
