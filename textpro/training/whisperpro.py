"""Training WhisperPro: recognition plus mel reconstruction, from a checkpoint or from scratch (paper 3.1, eq. 4-6)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import GenerationConfig, PreTrainedTokenizerBase, WhisperConfig, WhisperForConditionalGeneration

from textpro.audio import FRAMES_PER_STATE, WINDOW_SECONDS
from textpro.config import BundleConfig
from textpro.data import manifest
from textpro.errors import TrainingError
from textpro.losses import asr_ce, mel_mse
from textpro.training.batches import CHARACTERS, Batch, BatchPlan, BucketSampler, SpeechDataset
from textpro.training.interruption import Interruption, spare_worker
from textpro.training.loop import RunLog, Schedule, load_checkpoint, save_checkpoint, seed_update
from textpro.training.memories import Memories
from textpro.training.optimizer import FlatAdamW
from textpro.training.tokenizer import END, NO_SPEECH, NO_TIMESTAMPS, START
from textpro.whisperpro import WhisperPro, encode, spans


@dataclass(frozen=True)
class FreshModel:
    """Size of a Whisper trained from scratch."""

    width: int = 256
    n_heads: int = 4
    encoder_layers: int = 4
    decoder_layers: int = 4
    n_mels: int = 80


@dataclass(frozen=True)
class Recipe:
    """One training run. Weights of the losses: `mel` is the paper's λ, zero before `mel_from`; it is computed on
    `mel_share` of a batch's clips, for it costs as much as all the rest. `ctc` is an auxiliary loss on the encoder that
    a model from scratch needs and the paper's does not. Label smoothing is not the paper's. With `decoder_clips` the
    encoder is frozen, its output for so many clips a process computed once, and only what reads it is trained; with
    `above_tap` of that only what can't change the prosody: the decoder's layers above the tap."""

    schedule: Schedule
    mel: float = 1.0
    mel_from: int = 0
    mel_share: float = 1.0
    ctc: float = 0.0
    ctc_until: int = 0
    label_smoothing: float = 0.05
    decoder_clips: int = 0
    above_tap: bool = False
    dtype: str = "bfloat16"
    save_every: int = 500
    log_every: int = 50
    workers: int = 0
    plan: BatchPlan = field(default_factory=BatchPlan)


def fresh_whisper(size: FreshModel, tokenizer: PreTrainedTokenizerBase) -> WhisperForConditionalGeneration:
    """An untrained Whisper with this tokenizer's special tokens, English only, the window of the original."""
    ids = tokenizer.get_vocab()
    config = WhisperConfig(
        vocab_size=-(-len(tokenizer) // 8) * 8,
        num_mel_bins=size.n_mels,
        d_model=size.width,
        encoder_layers=size.encoder_layers,
        decoder_layers=size.decoder_layers,
        encoder_attention_heads=size.n_heads,
        decoder_attention_heads=size.n_heads,
        encoder_ffn_dim=4 * size.width,
        decoder_ffn_dim=4 * size.width,
        bos_token_id=ids[END],
        eos_token_id=ids[END],
        pad_token_id=ids[END],
        decoder_start_token_id=ids[START],
        suppress_tokens=[],
        begin_suppress_tokens=[],
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        bos_token_id=ids[END],
        eos_token_id=ids[END],
        pad_token_id=ids[END],
        decoder_start_token_id=ids[START],
        no_timestamps_token_id=ids[NO_TIMESTAMPS],
        is_multilingual=False,
        lang_to_id={"<|en|>": ids["<|en|>"]},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        suppress_tokens=[
            ids[t]
            for t in (START, "<|en|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", NO_SPEECH)
        ],
        begin_suppress_tokens=[],
        alignment_heads=[[size.decoder_layers - 1, head] for head in range(size.n_heads)],
        max_length=448,
        max_initial_timestamp_index=50,
    )
    return model


class Objective(nn.Module):
    """All that is trained, and its loss: WhisperPro and, from scratch, a character CTC head on the encoder."""

    def __init__(self, model: WhisperPro, recipe: Recipe) -> None:
        super().__init__()
        self.model, self.recipe = model, recipe
        self.ctc_head = nn.Linear(model.whisper.config.d_model, 1 + len(CHARACTERS)) if recipe.ctc else None

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum (eq. 6) and its parts."""
        recipe = self.recipe
        heard = self.model(batch.mel, batch.tokens, batch.memory)
        parts = {"asr": asr_ce(heard.logits, batch.labels, smoothing=recipe.label_smoothing)}
        total = parts["asr"]
        if self.ctc_head is not None and step < recipe.ctc_until:
            parts["ctc"] = self._ctc(heard.memory, batch)
            total = total + recipe.ctc * parts["ctc"]
        if self.model.reconstructor is not None and recipe.mel and step >= recipe.mel_from:
            assert heard.states is not None  # `_refuse_losses_of_frozen_parts`
            parts["mel"] = self._mel(heard.states, batch, step)
            total = total + recipe.mel * parts["mel"]
        return total, parts

    def _ctc(self, memory: Tensor, batch: Batch) -> Tensor:
        assert self.ctc_head is not None
        logp = self.ctc_head(memory).float().log_softmax(-1).transpose(0, 1)
        lengths = torch.full((len(batch),), len(logp), dtype=torch.long)
        loss = F.ctc_loss(logp, batch.characters, lengths, batch.character_lengths, zero_infinity=True, reduction="sum")
        return loss / batch.character_lengths.sum().clamp(min=1)

    def _mel(self, states: Tensor, batch: Batch, step: int) -> Tensor:
        """Over clips that have text: a clip without tokens has no prosody to rebuild it from."""
        assert self.model.reconstructor is not None
        spoken = batch.text_mask.any(dim=1)
        if not spoken.any():
            return states.new_zeros(())
        # Text stands together behind the prompt, which is equally long everywhere: a slice aligns tokens and states.
        columns = batch.text_mask.any(dim=0).nonzero()
        spoken = self._drawn(spoken, step)
        text = slice(int(columns.min()), int(columns.max()) + 1)
        tokens, mask = batch.tokens[spoken, text], batch.text_mask[spoken, text]
        in_decoder = self.model.config.tap_side == "decoder"
        prosody = states[spoken, text] if in_decoder else _in_spans(states[spoken], batch.frame_mask[spoken], mask)
        n_frames = int(batch.frame_mask.sum(dim=1).max())
        predicted = self.model.reconstructor(tokens, prosody, mask, n_frames)
        return mel_mse(predicted, batch.target[spoken, :, :n_frames], batch.frame_mask[spoken, :n_frames])

    def _drawn(self, rows: Tensor, step: int) -> Tensor:
        """Indices of `mel_share` of the true ones of rows (B,), at least one; the same for a step in every run."""
        indices = rows.nonzero().squeeze(1)
        order = torch.randperm(len(indices), generator=torch.Generator().manual_seed(step))
        count = max(1, round(self.recipe.mel_share * len(indices)))
        return indices[order[:count].to(indices.device)]


def _in_spans(states: Tensor, frame_mask: Tensor, text_mask: Tensor) -> Tensor:
    """An encoder's states (B, E, W) as prosody (B, N, W), the rows where text_mask (B, N) is true."""
    prosody = states.new_zeros(*text_mask.shape, states.shape[-1])
    for row, (found, frames, text) in enumerate(zip(states, frame_mask, text_mask, strict=True)):
        speech = found[: -(-int(frames.sum()) // FRAMES_PER_STATE)]
        prosody[row, text] = spans(speech, int(text.sum()))
    return prosody


def train(
    model: WhisperPro,
    tokenizer: PreTrainedTokenizerBase,
    manifest_path: Path,
    out: Path,
    recipe: Recipe,
    *,
    resume: Path | None = None,
    stop_after: int | None = None,
) -> int:
    """Trains in place and returns the step it reached; the weights are float32 then. Writes checkpoint.safetensors and
    metrics.jsonl under `out`, and goes on from what lies there. Stops early, with a checkpoint, on SIGTERM or at
    `stop_after`.

    resume: another run's checkpoint to branch from; stop_after: step at which to stop, the schedule unchanged.
    Raises TrainingError without clips, for a checkpoint of another model, or when a frozen part has a loss.
    """
    _refuse_losses_of_frozen_parts(recipe, model.config)
    clips = [clip for clip in manifest.read(manifest_path) if clip.text and clip.duration_s <= WINDOW_SECONDS]
    if not clips:
        raise TrainingError(f"{manifest_path} has no clips with text of at most {WINDOW_SECONDS} s")
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.plan.seed)
    dtype = getattr(torch, recipe.dtype)
    _freeze(model, recipe)
    objective = Objective(model, recipe)
    frozen = {p: p.data for p in objective.parameters() if not p.requires_grad}
    objective.to(accelerator.device).train()
    optimizer = FlatAdamW(objective.parameters(), dtype=dtype)
    objective.to(dtype)  # what is not trained
    own = out / "checkpoint.safetensors"
    source = own if own.exists() else resume
    step = load_checkpoint(source, optimizer) if source else 0
    saved = step if own.exists() else None
    last = min(stop_after or recipe.schedule.steps, recipe.schedule.steps)
    if source is not None and source is resume and step >= last:
        raise TrainingError(f"{resume} was saved at update {step}; its steps count too, and {last} are wanted in all")
    # A finished run has no use for batches, and remembered ones cost minutes.
    batches = _batches(model, tokenizer, manifest_path, clips, recipe, accelerator, step) if step < last else ()
    log = RunLog(out, total=recipe.schedule.steps, first_step=step, visible=accelerator.is_main_process)
    seen = 0
    with Interruption(accelerator) as interruption:
        for batch in batches:
            if step >= last:
                break
            seed_update(recipe.plan.seed, step, accelerator.process_index)
            loss, parts = objective(batch.to(accelerator.device, dtype), step)
            loss.backward()
            norm = optimizer.step(recipe.schedule.lr(step), accelerator)
            seen += len(batch) * accelerator.num_processes
            step += 1
            log.advance()
            if step % recipe.log_every == 0:
                values = {name: value.item() for name, value in parts.items()}
                log.write(step, **values, lr=recipe.schedule.lr(step), norm=norm, clips=seen)
            if interruption.asked():
                break
            if step % recipe.save_every == 0:
                saved = _save(out, step, optimizer, accelerator)
        if step != saved:
            _save(out, step, optimizer, accelerator)
    log.close()
    accelerator.wait_for_everyone()
    accelerator.end_training()
    optimizer.release()
    for p, value in frozen.items():
        p.data = value.to(accelerator.device)
    return step


def _save(out: Path, step: int, optimizer: FlatAdamW, accelerator: Accelerator) -> int:
    if accelerator.is_main_process:
        save_checkpoint(out, step, optimizer)
    return step


def _refuse_losses_of_frozen_parts(recipe: Recipe, config: BundleConfig) -> None:
    if recipe.decoder_clips and recipe.mel and config.tap_side == "encoder":
        raise TrainingError(f"with decoder_clips the encoder is frozen, where the tap {config.tap} is: mel must be 0")
    if recipe.decoder_clips and recipe.ctc:
        raise TrainingError("with decoder_clips the encoder is frozen: CTC, its own loss, must be 0")
    if recipe.above_tap and not recipe.decoder_clips:
        raise TrainingError("above_tap freezes the encoder too: it needs decoder_clips")
    if recipe.above_tap and recipe.mel:
        raise TrainingError("above the tap nothing can change the prosody: the mel loss must be 0")


def _freeze(model: WhisperPro, recipe: Recipe) -> None:
    """Leaves only what the recipe trains with gradients."""
    if not recipe.decoder_clips:
        return
    decoder = model.whisper.model.decoder
    model.requires_grad_(False)
    if recipe.above_tap:
        below = model.config.prosody_layer if model.config.tap_side == "decoder" else 0
        decoder.layers[below:].requires_grad_(True)
        decoder.layer_norm.requires_grad_(True)
        return
    decoder.requires_grad_(True)
    if model.reconstructor is not None:
        model.reconstructor.requires_grad_(bool(recipe.mel))


def _batches(
    model: WhisperPro,
    tokenizer: PreTrainedTokenizerBase,
    manifest_path: Path,
    clips: list[manifest.Clip],
    recipe: Recipe,
    accelerator: Accelerator,
    first_step: int,
) -> Iterable[Batch]:
    """This process's share of the batches from `first_step` on."""
    rank, world = accelerator.process_index, accelerator.num_processes
    first_batch = 0 if recipe.decoder_clips else first_step
    sampler = BucketSampler([c.duration_s for c in clips], recipe.plan, rank=rank, world=world, first_step=first_batch)
    dataset = SpeechDataset(
        manifest_path,
        clips,
        tokenizer,
        recipe.plan,
        n_mels=model.whisper.config.num_mel_bins,
        multilingual=bool(getattr(model.whisper.generation_config, "is_multilingual", False)),
        with_target=bool(recipe.mel),
    )
    loader = DataLoader(
        dataset, batch_size=None, sampler=sampler, num_workers=recipe.workers, worker_init_fn=spare_worker
    )
    if not recipe.decoder_clips:
        return loader
    dtype = getattr(torch, recipe.dtype)
    encoder = model.whisper.model.encoder
    return Memories(
        loader,
        lambda batch: encode(encoder, batch.mel.to(accelerator.device, dtype)),
        n_clips=min(recipe.decoder_clips, len(clips) // world),
        seed=recipe.plan.seed,
        first_step=first_step,
        visible=accelerator.is_main_process,
    )
