#!/usr/bin/env bash
# The paper's tables in miniature: a small LLM learns to hear, in the paper's two stages, several seeds of each system;
# then every table and chart. runs/embedded.sh calls it with its WhisperPros:
#   EAR     the one that ships, with the tap that serves best
#   PAPER   trained with the mel loss, the tap in the decoder's middle, both as in the paper
#   NO_MEL  its twin without that loss
# Interrupted, it goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/.."
TEXTPRO=${TEXTPRO:-$PWD/.venv/bin/textpro}
OUT=${OUT:-$PWD/out/embedded}
EAR=${EAR:-$OUT/ear} PAPER=${PAPER:-$OUT/mel_5/bundle} NO_MEL=${NO_MEL:-$OUT/mel_0/bundle}
SEEDS=${SEEDS:-0 1 2}
SYSTEMS=${SYSTEMS:-global interleaved no_distillation no_paralinguistic paper no_mel}
VOICES=${VOICES:-10000} ASKING=${ASKING:-3500} CHATS=${CHATS:-3000}
TESTS=${TESTS:-1000} QUIZ=${QUIZ:-554}
ALIGN_STEPS=${ALIGN_STEPS:-100} JOINT_STEPS=${JOINT_STEPS:-1000}
BATCH=${BATCH:-16} PROCESSES=${PROCESSES:-2}
DATA=$OUT/voices RESULTS=$OUT/results
export OMP_NUM_THREADS=1
mkdir -p "$DATA" "$RESULTS"

echo "== speech: voices to be asked about, the same asking, and a spoken quiz"
about=(--attributes style gender age accent)
delivery=(--flite-share 0.05 --styles neutral calm excited sad angry --ages adult child elderly --breaks)
"$TEXTPRO" data questions "${about[@]}" > "$DATA/asking.txt"
"$TEXTPRO" data quiz --limit "$QUIZ" > "$DATA/quiz.txt"
"$TEXTPRO" synthesize --out "$DATA/train" --clips "$VOICES" --split train --seed 11 "${delivery[@]}"
"$TEXTPRO" synthesize --out "$DATA/asking" --clips "$ASKING" --sentences "$DATA/asking.txt" --seed 12 "${delivery[@]}"
"$TEXTPRO" synthesize --out "$DATA/test" --clips "$TESTS" --split test --seed 13 "${delivery[@]}"
"$TEXTPRO" synthesize --out "$DATA/quiz" --clips "$QUIZ" --sentences "$DATA/quiz.txt" --seed 15 --flite-share 0.05

# What a WhisperPro makes of it: turns, each with its transcript and prosody. The teacher answers a text once for all.
hear() { # EAR BUNDLE
  local heard=$DATA/$1 by=(--bundle "$2" --beam-size 1) words=(--choose-by words)
  [[ ! -e $heard/done ]] || return 0
  # A caption tells all of a voice at once: a small LLM learns to hear by captions several times as fast as by questions.
  "$TEXTPRO" data paralinguistic --manifest "$DATA/train/manifest.jsonl" --out "$heard/captions" \
    --attributes caption "${by[@]}"
  "$TEXTPRO" data paralinguistic --manifest "$DATA/train/manifest.jsonl" --out "$heard/voices" --per-clip 1 \
    "${words[@]}" "${about[@]}" "${by[@]}"
  "$TEXTPRO" data paralinguistic --manifest "$DATA/asking/manifest.jsonl" --out "$heard/asking" --per-clip 1 \
    "${words[@]}" "${about[@]}" "${by[@]}"
  "$TEXTPRO" data paralinguistic --manifest "$DATA/test/manifest.jsonl" --out "$heard/test" --split test \
    "${words[@]}" "${about[@]}" "${by[@]}"
  "$TEXTPRO" data distill --sentences "$CHATS" --seed 5 --out "$heard/chat" --answers "$DATA/answers.jsonl" \
    --max-tokens 48 --dtype bfloat16 "${by[@]}"
  touch "$heard/done"
}

# Both stages of a system on some of the turns, and what it is worth.
train() { # SYSTEM NAME EAR BUNDLE LAYOUT TURNS…
  local system=$1 name=$2 ear=$3 heard=$DATA/$3 bundle=$4 layout=$5 seed run turns=(); shift 5
  [[ " $SYSTEMS " == *" $system "* ]] || return 0
  hear "$ear" "$bundle"
  for turn in "$@"; do turns+=(--turns "$heard/$turn"); done
  for seed in $SEEDS; do
    echo "== $name, seed $seed"
    run=$OUT/slm/$system-$seed
    local both=("${turns[@]}" --layout "$layout" --global-batch "$BATCH" --positions 600 --processes "$PROCESSES")
    both+=(--seed "$seed")
    "$TEXTPRO" train align --bundle "$bundle" --llm embedded --out "$run/align" --steps "$ALIGN_STEPS" "${both[@]}"
    "$TEXTPRO" train joint --bundle "$run/align/bundle" --out "$run/joint" --steps "$JOINT_STEPS" --lr 1e-3 \
      --warmup 30 "${both[@]}"
    local measured=(--bundle "$run/joint/bundle" --name "$name" --seed "$seed")
    "$TEXTPRO" evaluate modality-gap "${measured[@]}" --speech "$DATA/quiz/manifest.jsonl" --system textpro typed \
      --forgetting --json "$RESULTS/gap-$system-$seed.json"
    "$TEXTPRO" evaluate paralinguistic "${measured[@]}" --turns "$heard/test" --facts "$DATA/quiz/manifest.jsonl" \
      --json "$RESULTS/voice-$system-$seed.json"
  done
}

echo "== the text LLM and the cascade"
"$TEXTPRO" evaluate modality-gap --bundle "$EAR" --speech "$DATA/quiz/manifest.jsonl" --json "$RESULTS/gap-base.json"

train global "TextPro" ear "$EAR" global captions voices asking chat
train interleaved "TextPro 5:1" ear "$EAR" interleaved captions voices asking chat
train no_distillation "without distillation" ear "$EAR" global captions voices asking
train no_paralinguistic "without paralinguistic data" ear "$EAR" global chat
train paper "TextPro, tap of the paper" paper "$PAPER" global captions voices asking chat
train no_mel "the same without reconstruction" no_mel "$NO_MEL" global captions voices asking chat

"$TEXTPRO" report "$RESULTS"
