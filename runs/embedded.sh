#!/usr/bin/env bash
# The embedded models, from nothing: synthetic speech, WhisperPro in four stages and a mean, the LLM behind it, and all
# tables. docs/experiments.md has the history of the weights that ship. Interrupted, it goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/.."
TEXTPRO=${TEXTPRO:-$PWD/.venv/bin/textpro}
OUT=${OUT:-$PWD/out/embedded}
CLIPS=${CLIPS:-250000}
PROCESSES=${PROCESSES:-2}
RECOGNITION_STEPS=${RECOGNITION_STEPS:-13000}
DECODER_STEPS=${DECODER_STEPS:-8000}
NOISE_STEPS=${NOISE_STEPS:-7800}
VOICE_STEPS=${VOICE_STEPS:-3600}
RESULTS=${RESULTS:-$OUT/results} # where miniature.sh puts its own and reports on all
export OMP_NUM_THREADS=1
mkdir -p "$RESULTS"

echo "== speech: training sentences in the voices training hears, test sentences in both kinds of voices"
"$TEXTPRO" synthesize --out "$OUT/train" --clips "$CLIPS" --split train --seed 1 --flite-share 0.12 \
  --styles neutral neutral neutral neutral calm excited sad angry
"$TEXTPRO" synthesize --out "$OUT/test_seen" --clips 300 --split test --seed 2
"$TEXTPRO" synthesize --out "$OUT/test_held_out" --clips 300 --split test --voices held_out --flite-share 0 --seed 3
"$TEXTPRO" synthesize --out "$OUT/probe" --clips 2000 --split test --seed 9

train=("$TEXTPRO" train whisperpro --manifest "$OUT/train/manifest.jsonl" --name embedded --augmentation mild
  --processes "$PROCESSES")

echo "== 1: recognition, from scratch"
"${train[@]}" --out "$OUT/recognition" --steps "$RECOGNITION_STEPS" --mel 0 --ctc 1.0

echo "== 2: the decoder alone learns to spell, from clips encoded once"
"${train[@]}" --out "$OUT/decoder" --from "$OUT/recognition/bundle" --decoder-clips 60000 --batch-seconds 50 \
  --steps "$DECODER_STEPS" --lr 1e-3 --warmup 150 --decay line

echo "== 3: all weights again, for noise and flite are the encoder's"
"${train[@]}" --out "$OUT/noise" --from "$OUT/decoder/bundle" --mel 0 --ctc 0.3 --steps "$NOISE_STEPS" --lr 8e-4 \
  --warmup 200 --decay line

echo "== 4: the decoder alone learns to keep the voice (mel loss, λ = 5), and a twin without that loss"
for mel in 5 0; do
  "${train[@]}" --out "$OUT/mel_$mel" --from "$OUT/noise/bundle" --decoder-clips 36000 --batch-seconds 50 \
    --mel "$mel" --mel-share 0.5 --steps "$VOICE_STEPS" --lr 8e-4 --warmup 150 --decay line
done

echo "== 5: the mean of 3 and 4 (2 : 1), which ships"
rm -rf "$OUT/bundle"
"$TEXTPRO" bundle average "$OUT/bundle" "$OUT/noise/bundle:2" "$OUT/mel_5/bundle:1"

measure() { # measure RESULT NAME MEASURE BUNDLE CORPUS OPTIONS…
  "$TEXTPRO" evaluate "$3" --name "$2" --bundle "$OUT/$4" --manifest "$OUT/$5/manifest.jsonl" "${@:6}" \
    --json "$RESULTS/$1.json"
}

echo "== how well it hears"
measure wer-seen "WhisperPro, voices of training" wer bundle test_seen
measure wer-held-out "WhisperPro, other voices" wer bundle test_held_out
measure wer-15-db "WhisperPro, voices of training, noise at 15 dB" wer bundle test_seen --snr 15
measure wer-faster-whisper "faster-whisper, voices of training" wer bundle test_seen --engine faster-whisper

echo "== how much of the voice stage 4 keeps, with the mel loss and without"
for mel in 5 0; do
  measure "probing-1-layer-mel-$mel" "λ = $mel, 1 layer" probing "mel_$mel/bundle" probe
  measure "probing-2-layers-mel-$mel" "λ = $mel, 2 layers" probing "mel_$mel/bundle" probe --hidden 256
done

echo "== the same weights, prosody read in the encoder's middle; and what a small LLM makes of it"
[[ -d $OUT/ear ]] || "$TEXTPRO" bundle export "$OUT/bundle" --tap encoder.3 --out "$OUT/ear"
EAR="$OUT/ear" PAPER="$OUT/mel_5/bundle" NO_MEL="$OUT/mel_0/bundle" OUT="$OUT" RESULTS="$RESULTS" \
  TEXTPRO="$TEXTPRO" runs/miniature.sh
echo "what ships is in $OUT/slm/global-1/joint/bundle: seed 1"
