#!/usr/bin/env bash
# The whole pipeline at toy size, a few minutes on two cores: what it trains knows nothing, but every step runs. CI runs it.
set -euo pipefail
cd "$(dirname "$0")/.."
TEXTPRO=${TEXTPRO:-$PWD/.venv/bin/textpro}
OUT=${OUT:-$(mktemp -d)}
export OMP_NUM_THREADS=1 TEXTPRO_CACHE="$OUT/cache"

echo "== a corpus"
"$TEXTPRO" synthesize --out "$OUT/train" --clips 64 --split train --seed 1
"$TEXTPRO" synthesize --out "$OUT/test" --clips 24 --split test --voices held_out --flite-share 0 --seed 2

echo "== WhisperPro from scratch, stopped half-way, taken up again by two processes"
whisperpro=("$TEXTPRO" train whisperpro --manifest "$OUT/train/manifest.jsonl" --out "$OUT/run" --name tiny
  --steps 8 --warmup 2 --batch-seconds 12 --mel 1 --mel-from 2 --save-every 4)
"${whisperpro[@]}" --stop-after 4
"${whisperpro[@]}" --processes 2

echo "== what came of it"
"$TEXTPRO" bundle describe "$OUT/run/bundle"
"$TEXTPRO" evaluate wer --bundle "$OUT/run/bundle" --manifest "$OUT/test/manifest.jsonl" --limit 8 --json "$OUT/wer.json"
"$TEXTPRO" evaluate probing --manifest "$OUT/train/manifest.jsonl" --label gender --label f0 --json "$OUT/probing.json"
"$TEXTPRO" bundle export "$OUT/run/bundle" --format ctranslate2 --out "$OUT/ctranslate2"

echo "== going on from that bundle"
"$TEXTPRO" train whisperpro --from "$OUT/run/bundle" --manifest "$OUT/train/manifest.jsonl" --out "$OUT/again" \
  --name tiny-again --steps 2 --warmup 1 --batch-seconds 12
"$TEXTPRO" train whisperpro --from "$OUT/run/bundle" --manifest "$OUT/train/manifest.jsonl" --out "$OUT/decoder" \
  --name tiny-decoder --steps 4 --warmup 1 --batch-seconds 12 --decoder-clips 16
"$TEXTPRO" bundle average "$OUT/mean" "$OUT/run/bundle:2" "$OUT/decoder/bundle:1"

echo "== the LLM behind the embedded WhisperPro: both stages, every table"
OUT="$OUT" EAR=embedded SYSTEMS=global SEEDS=0 VOICES=24 ASKING=12 CHATS=6 TESTS=24 QUIZ=8 ALIGN_STEPS=2 JOINT_STEPS=2 BATCH=4 \
  PROCESSES=1 runs/miniature.sh
"$TEXTPRO" plot "$OUT/slm/global-0/joint"
echo "all of it is in $OUT"
