#!/usr/bin/env bash
# The WhisperPro that ships with the project, from nothing: synthetic speech, training, evaluation, export.
# Two cores: about half an hour for the corpus and four hours for the training. It may be interrupted and started again.
set -euo pipefail
cd "$(dirname "$0")/.."
TEXTPRO=${TEXTPRO:-$PWD/.venv/bin/textpro}
OUT=${OUT:-$PWD/out/embedded}
CLIPS=${CLIPS:-150000}
STEPS=${STEPS:-20000}
PROCESSES=${PROCESSES:-2}
export OMP_NUM_THREADS=1

echo "== speech: training sentences in the voices training hears, test sentences in both kinds of voices"
"$TEXTPRO" synthesize --out "$OUT/train" --clips "$CLIPS" --split train --seed 1 --flite-share 0.12 \
  --styles neutral neutral neutral neutral calm excited sad angry
"$TEXTPRO" synthesize --out "$OUT/test_seen" --clips 300 --split test --seed 2
"$TEXTPRO" synthesize --out "$OUT/test_held_out" --clips 300 --split test --voices held_out --flite-share 0 --seed 3

echo "== WhisperPro: recognition first, then the mel loss joins in (λ = 3)"
"$TEXTPRO" train whisperpro --manifest "$OUT/train/manifest.jsonl" --out "$OUT/run" --name embedded \
  --steps "$STEPS" --lr 1.2e-3 --warmup 400 --mel 3 --mel-from "$((STEPS * 5 / 9))" --ctc 1.0 \
  --batch-seconds 30 --augmentation mild --processes "$PROCESSES"

echo "== how well it hears, and how much of the voice it keeps"
"$TEXTPRO" evaluate wer --bundle "$OUT/run/bundle" --manifest "$OUT/test_seen/manifest.jsonl" --snr 15
for set in test_seen test_held_out; do
  "$TEXTPRO" evaluate wer --bundle "$OUT/run/bundle" --manifest "$OUT/$set/manifest.jsonl" --json "$OUT/wer_$set.json"
  "$TEXTPRO" evaluate probing --bundle "$OUT/run/bundle" --manifest "$OUT/$set/manifest.jsonl" --json "$OUT/probing_$set.json"
done
echo "the bundle is in $OUT/run/bundle; the one that ships lies in textpro/bundles/embedded"
