#!/usr/bin/env bash
# The paper's choices, one at a time, in miniature. Its Fig. 3: λ and the layer of WhisperPro's mel loss, by the words
# that are heard and the voice that is kept. Its Table 8: whose text is distilled, and α, by the spoken quiz. After
# runs/embedded.sh, in whose OUT it finds speech and weights; its tables are in OUT/sweeps. Interrupted, it goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
TEXTPRO=${TEXTPRO:-$PWD/.venv/bin/textpro}
OUT=${OUT:-$PWD/out/embedded}
START=${START:-$OUT/noise/bundle} # hears words already; its decoder learns to keep the voice
EAR=${EAR:-$OUT/ear}              # hears for the LLM
MELS=${MELS-0 1 5 10} TAPS=${TAPS-decoder.1 decoder.2 decoder.4}
SOURCES=${SOURCES-GTQ_GTA ASRQ_ASRA ASRQ_GTA} ALPHAS=${ALPHAS-0 0.5 1}
CLIPS=${CLIPS:-12000} VOICE_STEPS=${VOICE_STEPS:-900} BATCH_SECONDS=${BATCH_SECONDS:-50} # of speech
CHATS=${CHATS:-3000} ALIGN_STEPS=${ALIGN_STEPS:-20} JOINT_STEPS=${JOINT_STEPS:-120} BATCH=${BATCH:-16} # of turns
SEEDS=${SEEDS:-0} PROCESSES=${PROCESSES:-2} DTYPE=${DTYPE:-bfloat16}
SWEEPS=$OUT/sweeps RESULTS=$OUT/sweeps/results
export OMP_NUM_THREADS=1
mkdir -p "$RESULTS"

listener() { # TAP λ
  local out=$SWEEPS/$1-mel-$2-$seed name="$1, λ = $2"
  echo "== $name, seed $seed"
  [[ -e $out/bundle/textpro.json ]] ||
    "$TEXTPRO" train whisperpro --manifest "$OUT/train/manifest.jsonl" --from "$START" --out "$out" --name "$name" \
      --tap "$1" --mel "$2" --mel-share 0.5 --decoder-clips "$CLIPS" --batch-seconds "$BATCH_SECONDS" --seed "$seed" \
      --steps "$VOICE_STEPS" --lr 8e-4 --warmup 150 --decay line --augmentation mild --processes "$PROCESSES"
  [[ -e $RESULTS/wer-$1-$2-$seed.json ]] ||
    "$TEXTPRO" evaluate wer --bundle "$out/bundle" --name "$name" --manifest "$OUT/test_seen/manifest.jsonl" \
      --by engine --seed "$seed" --json "$RESULTS/wer-$1-$2-$seed.json"
  [[ -e $RESULTS/probing-$1-$2-$seed.json ]] ||
    "$TEXTPRO" evaluate probing --bundle "$out/bundle" --name "$name" --manifest "$OUT/probe/manifest.jsonl" \
      --hidden 256 --seed "$seed" --json "$RESULTS/probing-$1-$2-$seed.json"
}

student() { # SOURCE α
  local source=$1 alpha=$2 align=$SWEEPS/$1-align-$seed joint=$SWEEPS/$1-alpha-$2-$seed
  echo "== $source, α = $alpha, seed $seed"
  local trained=(--llm embedded --turns "$SWEEPS/chat-$source" --global-batch "$BATCH" --positions 600
    --processes "$PROCESSES" --seed "$seed")
  [[ -e $align/bundle/textpro.json ]] ||
    "$TEXTPRO" train align --bundle "$EAR" --out "$align" --steps "$ALIGN_STEPS" "${trained[@]}"
  [[ -e $joint/bundle/textpro.json ]] ||
    "$TEXTPRO" train joint --bundle "$align/bundle" --out "$joint" --steps "$JOINT_STEPS" --lr 2e-3 \
      --warmup 20 --alpha "$alpha" "${trained[@]}"
  [[ -e $RESULTS/gap-$source-$alpha-$seed.json ]] ||
    "$TEXTPRO" evaluate modality-gap --bundle "$joint/bundle" --name "$source, α = $alpha" --seed "$seed" \
      --dtype "$DTYPE" --speech "$OUT/voices/quiz/manifest.jsonl" --system textpro --format continuation \
      --json "$RESULTS/gap-$source-$alpha-$seed.json"
}

[[ -z $SOURCES || -e $RESULTS/gap-text.json ]] ||
  "$TEXTPRO" evaluate modality-gap --bundle "$EAR" --speech "$OUT/voices/quiz/manifest.jsonl" --system text \
    --format continuation --dtype "$DTYPE" --json "$RESULTS/gap-text.json"
for source in $SOURCES; do # done or taken up again: it says so itself
  "$TEXTPRO" data distill --sentences "$CHATS" --seed 5 --room 0.6 --source "$source" --out "$SWEEPS/chat-$source" \
    --answers "$SWEEPS/answers.jsonl" --max-tokens 48 --dtype "$DTYPE" --bundle "$EAR" --beam-size 1
done
for seed in $SEEDS; do
  for tap in $TAPS; do
    for mel in $MELS; do listener "$tap" "$mel"; done
  done
  for source in $SOURCES; do
    for alpha in $ALPHAS; do student "$source" "$alpha"; done
  done
done

"$TEXTPRO" report "$RESULTS"
