#!/usr/bin/env bash
# TextPro-SLM as the paper trains it (section 3, Table 1), on one machine with several GPUs; textpro-3b.sh and
# textpro-7b.sh name the LLM and share what does not depend on it. docs/training.md has the memory, the disk, the hours
# and the departures from the paper. Interrupted, it goes on where it was, with as many GPUs as it began with.
# Needs the extras train and cuda, espeak-ng, flite and Kokoro (pip install kokoro).
set -euo pipefail
NAME=${1:?the name of the model, as textpro-3b.sh gives it} LLM=${2:?the LLM: a hub name or a directory}
cd "$(dirname "$0")/.."
TEXTPRO=${TEXTPRO:-$PWD/.venv/bin/textpro}
OUT=${OUT:-$PWD/out/paper}
GPUS=${GPUS:-8} # numbers 0 to GPUS - 1
LAYOUT=${LAYOUT:-global} # or interleaved, the paper's 5:1
POSITIONS=${POSITIONS:-8192} # tokens of a forward pass; less takes less memory

# The corpora, as docs/corpora.md says they must lie.
CORPORA=${CORPORA:-$PWD/corpora}
LIBRISPEECH=${LIBRISPEECH:-$CORPORA} # the folder of LibriSpeech/ and LibriSpeech-PC/
COMMONSENSEQA=${COMMONSENSEQA:-$CORPORA/csqa}
ULTRACHAT=${ULTRACHAT:-$CORPORA/UltraChat}
PARASPEECHCAPS=${PARASPEECHCAPS:-$CORPORA/paraspeechcaps}
IEMOCAP=${IEMOCAP:-$CORPORA/IEMOCAP_full_release}
CREMA_D=${CREMA_D:-$CORPORA/CREMA-D}
SAVEE=${SAVEE:-$CORPORA/SAVEE}
TESS=${TESS:-$CORPORA/TESS}
ESD=${ESD:-$CORPORA/Emotion Speech Dataset}
COMMON_VOICE=${COMMON_VOICE:-$CORPORA/cv-corpus-22.0}

# Lost from our copy of the paper: the commands' own values stand in.
WHISPERPRO_LR=${WHISPERPRO_LR:-1e-5}
MEL=${MEL:-1} # λ of eq. 6
ALIGN_LR=${ALIGN_LR:-1e-3}
JOINT_LR=${JOINT_LR:-1e-5}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}

case $GPUS in
  1 | 2 | 4 | 8 | 16) ;;
  *) # 256 s of speech, shared by more, are mostly one clip each: 16 clips an update no longer
    echo "GPUS is $GPUS; expected 1, 2, 4, 8 or 16" >&2
    exit 1
    ;;
esac
missing=0
for corpus in LIBRISPEECH COMMONSENSEQA ULTRACHAT PARASPEECHCAPS IEMOCAP CREMA_D SAVEE TESS ESD COMMON_VOICE; do
  if [ ! -d "${!corpus}" ]; then
    echo "$corpus: there is no folder ${!corpus}; docs/corpora.md says where it comes from and how it must lie" >&2
    missing=1
  fi
done
if [ "$missing" = 1 ]; then exit 1; fi

bring() { # bring NAME ARGUMENT…: OUT/data/NAME, once
  compgen -G "$OUT/data/$1/*.jsonl" >/dev/null || "$TEXTPRO" data import "${@:2}" --out "$OUT/data/$1"
}

deal() { # deal FILE: its lines, shuffled, one part for each GPU
  local parts=${1%/*}/parts-of-$GPUS
  if [ -d "$parts" ]; then return; fi
  mkdir -p "$parts.partial"
  shuf --random-source=<(yes) "$1" | split -d -a 2 -n "r/$GPUS" --additional-suffix=.jsonl - "$parts.partial/"
  mv "$parts.partial" "$parts"
}

on_every_gpu() { # on_every_gpu NAME COMMAND…: at once, {} in it being the part; NAME is done once
  local log=$OUT/logs/$1-of-$GPUS jobs=() failed=0 gpu part
  shift
  if [ -e "$log.done" ]; then return; fi
  mkdir -p "$OUT/logs"
  for ((gpu = 0; gpu < GPUS; gpu++)); do
    part=$(printf %02d "$gpu")
    CUDA_VISIBLE_DEVICES=$gpu "${@//\{\}/$part}" >"$log-$part.log" 2>&1 &
    jobs+=($!)
  done
  for gpu in "${!jobs[@]}"; do
    if ! wait "${jobs[gpu]}"; then
      part=$(printf %02d "$gpu")
      echo "GPU $gpu failed: $log-$part.log" >&2
      tail -n 3 "$log-$part.log" >&2
      failed=1
    fi
  done
  if [ "$failed" = 1 ]; then exit 1; fi
  touch "$log.done"
}
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT # what runs behind must not outlive this

echo "== corpora"
bring librispeech librispeech "$LIBRISPEECH"
bring commonsenseqa commonsenseqa "$COMMONSENSEQA"
bring ultrachat ultrachat "$ULTRACHAT"
bring paraspeechcaps paraspeechcaps "$PARASPEECHCAPS" --with caption
bring iemocap iemocap "$IEMOCAP" --with emotion
bring crema-d crema-d "$CREMA_D" --with emotion
bring savee savee "$SAVEE" --with emotion
bring tess tess "$TESS" --with emotion
bring esd esd "$ESD" --with emotion
bring common-voice-with-age common-voice "$COMMON_VOICE" --with age_group
if [ ! -e "$OUT/data/common-voice/manifest.jsonl" ]; then
  mkdir -p "$OUT/data/common-voice"
  with_age=$OUT/data/common-voice-with-age/manifest.jsonl
  head -n "$(($(wc -l <"$with_age") / 4))" "$with_age" >"$OUT/data/common-voice/.partial"
  mv "$OUT/data/common-voice/.partial" "$OUT/data/common-voice/manifest.jsonl"
fi
bring test-librispeech librispeech "$LIBRISPEECH" --split test-clean test-other
bring test-voices common-voice "$COMMON_VOICE" --split test --with accent age_group gender

echo "== WhisperPro: CommonsenseQA spoken"
spoken=$OUT/data/commonsenseqa-spoken
sentences=$OUT/data/commonsenseqa/sentences.txt
python3 -c 'import json, sys; [print(" ".join(json.loads(line)["text"].split())) for line in sys.stdin]' \
  <"$OUT/data/commonsenseqa/texts.jsonl" >"$sentences"
"$TEXTPRO" synthesize --out "$spoken" --sentences "$sentences" --clips "$(wc -l <"$sentences")" \
  --styles neutral --seed 1

echo "== WhisperPro: recognition and mel reconstruction from whisper-large-v3, 2 epochs of about 16 clips an update"
# LibriSpeech's paths are absolute, the others relative to this folder.
cat "$OUT/data/librispeech/manifest.jsonl" "$spoken/manifest.jsonl" >"$spoken/with-librispeech.jsonl"
clips=$(wc -l <"$spoken/with-librispeech.jsonl")
whisperpro=$OUT/whisperpro/bundle
if [ ! -e "$whisperpro/textpro.json" ]; then
  "$TEXTPRO" train whisperpro --from openai/whisper-large-v3 --manifest "$spoken/with-librispeech.jsonl" \
    --out "$OUT/whisperpro" --name whisperpro-large-v3 --steps "$((2 * clips / 16))" --lr "$WHISPERPRO_LR" \
    --warmup 500 --decay line --mel "$MEL" --augmentation mild \
    --batch-seconds "$((256 / GPUS))" --processes "$GPUS" --workers 4 --save-every 2000
fi

on_gpu=(--device cuda --compute-type float16)
hear=("${on_gpu[@]}" --bundle "$whisperpro")
results=$OUT/$NAME/$LAYOUT/results
measure() { # measure RESULT ARGUMENT…: once
  if [ -e "$results/$1.json" ]; then return; fi
  mkdir -p "$results"
  "$TEXTPRO" evaluate "${@:2}" "${on_gpu[@]}" --json "$results/$1.json"
}

echo "== WhisperPro and Whisper: how well they hear, and how much of the voice they keep (Table 2)"
heard=$OUT/data/test-librispeech/manifest.jsonl
for bundle in openai/whisper-large-v3 "$whisperpro"; do
  model=whisperpro
  if [ "$bundle" != "$whisperpro" ]; then model=whisper; fi
  of_model=(--bundle "$bundle" --manifest "$heard")
  measure "wer-$model" wer "${of_model[@]}" --name "$model" --by split
  probing=(probing "${of_model[@]}" --label gender --label speaker --label f0 --label energy)
  measure "probing-1-layer-$model" "${probing[@]}" --name "$model, 1 layer"
  measure "probing-2-layers-$model" "${probing[@]}" --name "$model, 2 layers" --hidden 256
done

echo "== turns: questions about voices (captions, emotion, age)"
ask() { # ask CORPUS ATTRIBUTE
  deal "$OUT/data/$1/manifest.jsonl"
  on_every_gpu "$1" "$TEXTPRO" data paralinguistic --manifest "$OUT/data/$1/parts-of-$GPUS/{}.jsonl" \
    --attributes "$2" --per-clip 1 --out "$OUT/turns/$1-{}-of-$GPUS" "${hear[@]}"
}
ask paraspeechcaps caption
for corpus in iemocap crema-d savee tess esd; do ask "$corpus" emotion; done
ask common-voice age

echo "== turns: Kokoro speaks, WhisperPro hears, $LLM answers"
distill() { # distill CORPUS
  deal "$OUT/data/$1/texts.jsonl"
  on_every_gpu "$NAME-$1" "$TEXTPRO" data distill --text "$OUT/data/$1/parts-of-$GPUS/{}.jsonl" --voices kokoro \
    --source ASRQ_ASRA --llm "$LLM" --positions 81920 --out "$OUT/$NAME/turns/$1-{}-of-$GPUS" "${hear[@]}"
}
distill commonsenseqa
distill ultrachat

turns=()
for folder in "$OUT"/turns/*-of-"$GPUS" "$OUT/$NAME"/turns/*-of-"$GPUS"; do turns+=(--turns "$folder"); done
stage=("${turns[@]}" --name "$NAME" --epochs 2 --global-batch 1024 --warmup 0 --decay line --alpha 0
  --layout "$LAYOUT" --dtype bfloat16 --recompute --positions "$POSITIONS" --processes "$GPUS" --workers 2)

echo "== stage 1: the projector, in front of the frozen LLM"
align=$OUT/$NAME/$LAYOUT/align
if [ ! -e "$align/bundle/textpro.json" ]; then
  "$TEXTPRO" train align --bundle "$whisperpro" --llm "$LLM" "${stage[@]}" --lr "$ALIGN_LR" --out "$align"
fi

echo "== stage 2: the projector and all weights of the LLM"
joint=$OUT/$NAME/$LAYOUT/joint
if [ ! -e "$joint/bundle/textpro.json" ]; then
  "$TEXTPRO" train joint --full --bundle "$align/bundle" --llm "$LLM" "${stage[@]}" --lr "$JOINT_LR" --out "$joint"
fi
"$TEXTPRO" plot "$joint"

echo "== the modality gap, on the project's own questions"
"$TEXTPRO" data quiz >"$OUT/data/quiz.txt"
"$TEXTPRO" synthesize --sentences "$OUT/data/quiz.txt" --clips "$(wc -l <"$OUT/data/quiz.txt")" --voices held_out \
  --flite-share 0 --out "$OUT/data/quiz" --seed 2
slm=(--bundle "$joint/bundle" --name "$NAME-$LAYOUT" --dtype bfloat16)
measure modality-gap modality-gap --speech "$OUT/data/quiz/manifest.jsonl" --forgetting "${slm[@]}"

echo "== accent, age and gender, on Common Voice's test split"
"$TEXTPRO" data paralinguistic --manifest "$OUT/data/test-voices/manifest.jsonl" --attributes accent age gender \
  --split test --per-clip 3 --limit 1000 --out "$OUT/test-turns" "${hear[@]}"
measure paralinguistic paralinguistic --turns "$OUT/test-turns" --facts "$OUT/data/quiz/manifest.jsonl" "${slm[@]}"

"$TEXTPRO" report "$results"
"$TEXTPRO" bundle describe "$joint/bundle"
echo "the tables are in $results/report.md; serve the model with: textpro up --bundle $joint/bundle"
