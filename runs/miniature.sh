#!/usr/bin/env bash
# The paper's tables in miniature: a small LLM learns to hear, in the paper's two stages, several seeds of each system;
# then every table and chart. runs/embedded.sh calls it with its WhisperPros:
#   EAR     the one that ships, with the tap that serves best
#   PAPER   trained with the mel loss, the tap in the decoder's middle, both as in the paper
#   NO_MEL  its twin without that loss
# Interrupted, it goes on where it was. A run whose results lie in RESULTS is not made again: with
# RESULTS=docs/results/miniature only those that nobody has measured yet.
set -euo pipefail
cd "$(dirname "$0")/.."
TEXTPRO=${TEXTPRO:-$PWD/.venv/bin/textpro}
OUT=${OUT:-$PWD/out/embedded}
EAR=${EAR:-$OUT/ear} PAPER=${PAPER:-$OUT/mel_5/bundle} NO_MEL=${NO_MEL:-$OUT/mel_0/bundle}
SEEDS=${SEEDS:-0 1 2}
SYSTEMS=${SYSTEMS:-global no_distillation no_paralinguistic paper no_mel interleaved}
VOICES=${VOICES:-10000} ASKING=${ASKING:-3500} CHATS=${CHATS:-3000}
TESTS=${TESTS:-1500} QUIZ=${QUIZ:-554}
ALIGN_STEPS=${ALIGN_STEPS:-20} JOINT_STEPS=${JOINT_STEPS:-600}
BATCH=${BATCH:-16} PROCESSES=${PROCESSES:-2} DTYPE=${DTYPE:-bfloat16}
DATA=$OUT/voices RESULTS=${RESULTS:-$OUT/results}
export OMP_NUM_THREADS=1
mkdir -p "$DATA" "$RESULTS"

echo "== speech: voices to be asked about, the same asking, and a spoken quiz"
about=(--attributes style gender age accent)
room=(--flite-share 0.05 --room 0.6)
delivery=("${room[@]}" --styles neutral calm excited sad angry --ages adult child elderly --breaks)
"$TEXTPRO" data questions "${about[@]}" > "$DATA/asking.txt"
"$TEXTPRO" data quiz --limit "$QUIZ" > "$DATA/quiz.txt"
"$TEXTPRO" synthesize --out "$DATA/train" --clips "$VOICES" --split train --seed 11 "${delivery[@]}"
"$TEXTPRO" synthesize --out "$DATA/asking" --clips "$ASKING" --sentences "$DATA/asking.txt" --seed 12 "${delivery[@]}"
"$TEXTPRO" synthesize --out "$DATA/test" --clips "$TESTS" --split test --seed 13 "${delivery[@]}"
"$TEXTPRO" synthesize --out "$DATA/quiz" --clips "$QUIZ" --sentences "$DATA/quiz.txt" --seed 15 "${room[@]}"

# What a WhisperPro makes of it: turns, each with its transcript and prosody. The teacher answers a text once for all.
hear() { # EAR BUNDLE
  local heard=$DATA/$1 by=(--bundle "$2" --beam-size 1) words=(--choose-by words)
  [[ ! -e $heard/done ]] || return 0
  # A caption tells all of a voice at once: by captions a small LLM learns to hear several times as fast.
  "$TEXTPRO" data paralinguistic --manifest "$DATA/train/manifest.jsonl" --out "$heard/captions" --per-clip 1 \
    --attributes caption --voice-alone "${by[@]}"
  "$TEXTPRO" data paralinguistic --manifest "$DATA/train/manifest.jsonl" --out "$heard/voices" --per-clip 1 \
    "${words[@]}" "${about[@]}" "${by[@]}"
  "$TEXTPRO" data paralinguistic --manifest "$DATA/asking/manifest.jsonl" --out "$heard/asking" --per-clip 1 \
    "${words[@]}" "${about[@]}" "${by[@]}"
  "$TEXTPRO" data paralinguistic --manifest "$DATA/test/manifest.jsonl" --out "$heard/test" --split test \
    "${words[@]}" "${about[@]}" "${by[@]}"
  "$TEXTPRO" data distill --sentences "$CHATS" --seed 5 --room 0.6 --out "$heard/chat" --answers "$DATA/answers.jsonl" \
    --max-tokens 48 --dtype "$DTYPE" "${by[@]}"
  touch "$heard/done"
}

# A stage of training. What was trained is not trained again.
stage() { # align|joint FROM OUT STEPS OPTIONS…
  [[ ! -e $3/bundle/textpro.json ]] || return 0
  "$TEXTPRO" train "$1" --bundle "$2" --llm embedded --out "$3" --steps "$4" --layout "$layout" \
    --global-batch "$BATCH" --positions 600 --processes "$PROCESSES" --seed "$seed" "${@:5}"
}

has() { [[ -e $RESULTS/$1-$system-$seed.json ]]; }

# A system: the projector alone learns from the first of its turns, then the LLM with it from all; and what it is worth.
# Of TextPro itself also what it says of voices in its own words, and the proof by exchange.
train() { # SYSTEM NAME EAR BUNDLE LAYOUT STEPS TURNS…
  local system=$1 name=$2 ear=$3 bundle=$4 layout=$5 steps=$6 turns=("${@:7}")
  [[ " $SYSTEMS " == *" $system "* ]] || return 0
  if has gap && has voice && { [[ $system != global ]] || has exchange; }; then return 0; fi
  local out=$OUT/slm/$system-$seed
  echo "== $name, seed $seed"
  hear "$ear" "$bundle"
  turns=("${turns[@]/#/--turns=$DATA/$ear/}")
  stage align "$bundle" "$out/align" "$ALIGN_STEPS" "${turns[0]}"
  stage joint "$out/align/bundle" "$out/joint" "$steps" "${turns[@]}" --lr 2e-3 --warmup 20 --alpha 0.8 \
    --conversation 2 --exchange 1
  local measured=(--bundle "$out/joint/bundle" --name "$name" --seed "$seed" --dtype "$DTYPE")
  has gap ||
    "$TEXTPRO" evaluate modality-gap "${measured[@]}" --speech "$DATA/quiz/manifest.jsonl" --system textpro typed \
      --format continuation --forgetting --json "$RESULTS/gap-$system-$seed.json"
  has voice ||
    "$TEXTPRO" evaluate paralinguistic "${measured[@]}" --turns "$DATA/$ear/test" --measure likelihood \
      --json "$RESULTS/voice-$system-$seed.json"
  [[ $system != global ]] || has exchange ||
    "$TEXTPRO" evaluate paralinguistic "${measured[@]}" --turns "$DATA/$ear/test" \
      --facts "$DATA/quiz/manifest.jsonl" --measure generated tone facts --json "$RESULTS/exchange-$system-$seed.json"
}

echo "== the text LLM and the cascade"
[[ -e $RESULTS/gap-base.json ]] ||
  "$TEXTPRO" evaluate modality-gap --bundle "$EAR" --speech "$DATA/quiz/manifest.jsonl" --format continuation \
    --dtype "$DTYPE" --json "$RESULTS/gap-base.json"

# An ablation leaves turns out, and the updates that they would fill.
asked=(captions voices:0.4 asking:0.8) taught=(chat:2)
chat_steps=$((JOINT_STEPS * 20 * CHATS / (14 * VOICES + 8 * ASKING + 20 * CHATS) + 1))
asked_steps=$((JOINT_STEPS - chat_steps + 1))
for seed in $SEEDS; do
  train global "TextPro" ear "$EAR" global "$JOINT_STEPS" "${asked[@]}" "${taught[@]}"
  train no_distillation "without distillation" ear "$EAR" global "$asked_steps" "${asked[@]}"
  train no_paralinguistic "without paralinguistic data" ear "$EAR" global "$chat_steps" "${taught[@]}"
  train paper "TextPro, tap of the paper" paper "$PAPER" global "$JOINT_STEPS" "${asked[@]}" "${taught[@]}"
  train no_mel "TextPro, tap of the paper, without reconstruction" no_mel "$NO_MEL" global "$JOINT_STEPS" \
    "${asked[@]}" "${taught[@]}"
  train interleaved "TextPro 5:1" ear "$EAR" interleaved "$JOINT_STEPS" "${asked[@]}" "${taught[@]}"
done

"$TEXTPRO" report "$RESULTS"
