#!/usr/bin/env bash
# TextPro-SLM-3B, the paper's recipe: paper.sh has the steps, docs/training.md what they take.
set -euo pipefail
exec "$(dirname "$0")/paper.sh" textpro-3b "${LLM:-Qwen/Qwen2.5-3B-Instruct}"
