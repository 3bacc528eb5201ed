# One target per daily action; bare `make` lists them. Each sets up what it needs, once.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

# Where `make run` listens, and the folder its data lives in.
LISTEN ?= 127.0.0.1:8030
DATA ?= ./flagstaff-data

TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-26s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- running -------------------------------------------------------------------------------------------

.PHONY: run
run: setup-rust ## set up, build and start the demo service; says what to open and which program to try
	@cargo build --release --package flagstaff-cli
	@scripts/run $(TARGET)/release/flagstaff $(LISTEN) $(DATA)

.PHONY: example-rust example-python example-official-python-9 example-official-python-6 example-official-node
.PHONY: example-official-go example-official-java
example-rust: setup-rust ## with `make run` running: a program on our Rust SDK, printing a flag's value
	@cargo build --release --package flagstaff-example
	@$(TARGET)/release/flagstaff-example

# What the command line asks for.
FLAG ?= wish-lists
CONTEXT ?= {"kind":"user","key":"ada","plan":"pro"}

.PHONY: example-rust-axum example-rust-command-line example-rust-sync
example-rust-axum: setup-rust ## the same service: a web shop on axum, at http://127.0.0.1:8040 (SHOP_LISTEN)
	@cargo build --release --package flagstaff-example-axum
	@$(TARGET)/release/flagstaff-example-axum

example-rust-command-line: setup-rust ## one flag's value for one context, for scripts (FLAG, CONTEXT as JSON)
	@cargo build --quiet --release --package flagstaff-example-command-line
	@$(TARGET)/release/flagstaff-example-command-line '$(FLAG)' '$(CONTEXT)'

example-rust-sync: setup-rust ## a plain synchronous program, deciding for a list of customers
	@cargo build --release --package flagstaff-example-sync
	@$(TARGET)/release/flagstaff-example-sync

example-python: python-release ## the same on our Python package
	@.venv/bin/python examples/python/flip.py

example-official-python-9: .venv-official-9/.ready ## the same on LaunchDarkly's Python SDK, version 9
	@.venv-official-9/bin/python examples/official-python-9/flip.py

example-official-python-6: .venv-official-6/.ready ## the same on LaunchDarkly's Python SDK, version 6
	@.venv-official-6/bin/python examples/official-python-6/flip.py

example-official-node: examples/official-node/node_modules/.ready ## the same on LaunchDarkly's Node.js SDK
	@node examples/official-node/flip.js

example-official-go: .tools/official-go/.ready ## the same on LaunchDarkly's Go SDK
	@.tools/official-go/flip

example-official-java: .tools/official-java/.ready ## the same on LaunchDarkly's Java SDK
	@java -cp '.tools/official-java:.tools/official-java/*' Flip

# ---- testing -------------------------------------------------------------------------------------------

.PHONY: test test-rust test-python test-end-to-end test-browser
test: setup-rust python-debug setup-official setup-browser setup-stores ## set up and run all tests; the last line counts them
	@scripts/test rust+end-to-end rust-postgres python browser

test-rust: setup-rust ## Rust tests, without the end-to-end ones; those of databases where `make setup-stores` was run
	@scripts/test rust rust-postgres

test-python: python-debug ## tests of the Python package
	@scripts/test python

test-end-to-end: setup-rust python-debug setup-official ## real service, real programs, ours and the official SDKs'
	@scripts/test end-to-end

test-browser: setup-rust setup-browser ## the dashboard in a real browser
	@scripts/test browser

.PHONY: test-python-versions
test-python-versions: setup-rust ## one wheel, made as users make it, tested on every CPython here from 3.10
	@scripts/python-versions

.PHONY: conformance
conformance: python-debug setup-stores ## both SDKs behind the cross-SDK contract tests, with databases; takes about 14 minutes
	@scripts/conformance

.PHONY: lint
lint: setup-rust ## formatting, clippy without a warning, licences, the counts of crates in the docs
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --all-features -- --deny warnings
	@if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources; \
	else echo "licences not checked: cargo deny is missing (cargo install --locked cargo-deny)"; fi
	@scripts/dependencies --check

# ---- measuring and reading -----------------------------------------------------------------------------

.PHONY: bench
bench: setup-rust python-release setup-official ## our evaluation beside its peers, in one run; prints a table
	@benchmarks/run

.PHONY: load
load: setup-rust ## ten thousand streams and more on one service, with figures beside the marks; takes about 8 minutes (LOAD)
	@benchmarks/load/run $(LOAD)

.PHONY: soak
soak: setup-rust setup-stores ## faults for ten minutes, everything for thirty (FLAGSTAFF_SOAK_SECONDS), and the largest forms of tests: prints what was served, lost and measured
	@FLAGSTAFF_SINK_DOWN_SECONDS=600 FLAGSTAFF_PARTITION_SECONDS=60 FLAGSTAFF_REQUIRE_STORES=1 \
	cargo test --package end-to-end --test it -- --nocapture --test-threads 1 faults:: partition::
	@FLAGSTAFF_KILLS=200 FLAGSTAFF_REQUIRE_STORES=1 \
	cargo test --package flagstaff-cli --test it -- --nocapture --test-threads 1 crash:: killed_while_
	@FLAGSTAFF_DAMAGES=1000 cargo test --package flagstaff-cli --test it -- --nocapture damaged_file::
	@FLAGSTAFF_LARGE_FLAGS=50000 \
	cargo test --release --package flagstaff-cli --test it -- --nocapture large::
	@cargo test --release --package flagstaff-eval --package flagstaff-sdk in_full -- --ignored --nocapture
	@FLAGSTAFF_TIMING_SAMPLES=1000000 \
	cargo test --release --package flagstaff-service --test it -- --nocapture timing::
	@FLAGSTAFF_SOAK_SECONDS=$${FLAGSTAFF_SOAK_SECONDS:-1800} FLAGSTAFF_REQUIRE_STORES=1 \
	cargo test --package end-to-end --test it -- --nocapture soak::

.PHONY: fuzz
fuzz: setup-rust ## what reads bytes of strangers, 10 minutes each target (FUZZ_SECONDS, FUZZ_TARGETS, FUZZ_JOBS)
	@scripts/fuzz

.PHONY: docs docs-rust docs-python
docs: docs-rust docs-python ## the API documentation of all crates and of the Python package, as HTML
docs-rust: setup-rust
	@cargo doc --workspace --all-features --no-deps
	@echo "open $(TARGET)/doc/flagstaff_sdk/index.html"
docs-python: python-debug
	@scripts/python-docs $(TARGET)/doc-python
	@echo "open $(TARGET)/doc-python/ldclient.html"

# ---- setting up, each once -----------------------------------------------------------------------------
# A finished folder holds a file `.ready`, so that removing the folder is enough to have it made anew.

.PHONY: setup-rust setup-python setup-official setup-browser setup-stores
setup-rust: ## check the Rust toolchain
	@scripts/need rust
setup-python: .venv/.ready ## Python environment for our package and its tests, in .venv
setup-official: .venv-official-9/.ready .venv-official-6/.ready examples/official-node/node_modules/.ready ## the official SDKs
setup-official: .tools/official-go/.ready .tools/official-java/.ready .venv-openfeature/.ready
setup-official: .venv-daemon/.ready end-to-end/daemon/node_modules/.ready
setup-browser: end-to-end/browser/node_modules/.ready ## the browser and its driver
	@command -v chromium >/dev/null || scripts/debian-package chromium

setup-stores: .tools/dynamodb-local/.ready .tools/consul/.ready ## databases for the tests, and a clock that can be set
	@compgen -G '/usr/lib/*/faketime/libfaketime*.so.1' >/dev/null || scripts/debian-package libfaketime
	@command -v redis-server >/dev/null || scripts/debian-package redis-server
	@scripts/postgres

.PHONY: setup-load-peer
setup-load-peer: .tools/unleash-edge/.ready ## Unleash Edge, for `make load` to measure beside ours

.tools/official-go/.ready: $(wildcard examples/official-go/*)
.tools/official-java/.ready: $(wildcard examples/official-java/*)
.tools/%/.ready: scripts/%
	@$< .tools/$*
	@touch $@

.venv/.ready: python/requirements-dev.txt python/requirements-no-deps.txt
	@scripts/need python
	@scripts/venv .venv $<
	@scripts/venv .venv python/requirements-no-deps.txt --no-deps
	@touch $@

.venv-official-%/.ready: examples/official-python-%/requirements.txt
	@scripts/need python
	@scripts/venv .venv-official-$* $<
	@touch $@

# OpenFeature's own provider, which is asked to ask us.
.venv-openfeature/.ready: end-to-end/openfeature/requirements.txt
	@scripts/need python
	@scripts/venv .venv-openfeature $<
	@touch $@

# The official SDKs with the databases that they read.
.venv-daemon/.ready: end-to-end/daemon/requirements.txt
	@scripts/need python
	@scripts/venv .venv-daemon $<
	@touch $@

# npm says what it installed, which nobody needs to read unless it fails.
%/node_modules/.ready: %/package-lock.json
	@scripts/need node
	@printf '\n== npm packages of %s\n' $*
	@npm ci --silent --prefix $*
	@touch $@

# Cargo itself knows what has changed; both put `ldclient` into .venv, quick to build or quick to run.
.PHONY: python-debug python-release
python-debug: setup-rust .venv/.ready
	@VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/maturin develop --profile dev --manifest-path python/Cargo.toml
python-release: setup-rust .venv/.ready
	@VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/maturin develop --release --manifest-path python/Cargo.toml
