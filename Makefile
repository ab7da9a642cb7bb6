# Every target works from a fresh clone, and without the others having run. `make build` needs Rust
# and Node.js alone, `make check` Rust alone; what tests, demo and benchmarks need besides is
# installed by steps of scripts/setup.
.DEFAULT_GOAL := help
PYTHON := .tools/venv/bin/python -B
SEED ?=
ROUNDS ?=
TOOL := cargo run -q --manifest-path tools/check/Cargo.toml --target-dir target --

.PHONY: help build image test test-kong check playground test-playground test-dashboard demo run bench load fuzz sim curves schema setup

help: ## This list.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-15s %s\n", $$1, $$2 }'

setup: ## Installs all tools (wasm-opt, Envoy, an OAuth2 server, Redis, Webdis) into the project's own folder.
	@scripts/setup

# The steps that a target names, before anything is compiled for minutes.
setup-%:
	@scripts/setup $(subst -, ,$*)

build: setup-build ## Builds dist/herdgate.wasm; needs Rust and Node.js alone.
	@scripts/build

image: setup-build-sbom build ## dist/herdgate-oci.tar: the module as an OCI image for Istio and Envoy Gateway, its sha256 and an SBOM.
	@scripts/image

test: ## Everything that must hold; CI runs exactly this.
	@scripts/test

test-kong: setup-tests build ## The integration cases in a real Kong Gateway 3.9 (KONG_BIN=, or Docker).
	@scripts/test-kong

check: ## Reads a configuration without a host: CONFIG=file [REQUEST='GET /orders'] [TOKEN=...].
	@REQUEST="$(REQUEST)" TOKEN="$(TOKEN)" scripts/check $(CONFIG)

playground: setup-playground ## dist/playground/: make check as a page that needs no server; needs Rust and Node.js alone.
	@scripts/playground

test-playground: playground ## Drives that page in the system's Chromium, with screenshots.
	@scripts/test-playground

test-dashboard: setup-python-servers-redis-prometheus build ## The demo under a real Prometheus: each query of examples/monitoring has data afterwards.
	@HERDGATE_DASHBOARD=1 $(PYTHON) -m pytest -p no:cacheprovider -q -s tests/integration/test_dashboard.py

# Without Redis the demo leaves one chapter out, and says so at its end.
demo: setup-python-servers build ## Starts everything, walks through each capability with real requests, stops everything.
	@scripts/setup redis || true
	@$(PYTHON) scripts/demo

run: setup-python-servers build ## The demo's set-up, left running, with ready-made curl lines.
	@$(PYTHON) scripts/demo --run

bench: setup-python-servers build ## Side-by-side benchmarks in real Envoy, or in a real Kong (KONG=1, KONG_BIN=); QUICK=1 for the short form, SUITE='hot;limits' for some.
	@scripts/build --empty
	@$(PYTHON) scripts/bench $(if $(QUICK),--quick) $(if $(KONG),--suite kong,$(if $(SUITE),--suite "$(SUITE)")) $(if $(KEEP),--keep)

load: setup-python-servers build ## The load lab: tokens of each kind at several rates, callers, a herd, devices, a day; one report (QUICK=1: two minutes).
	@$(PYTHON) scripts/load $(if $(QUICK),--quick) $(if $(ONLY),--only "$(ONLY)") $(if $(TOKEN_MS),--token-ms $(TOKEN_MS))
	@scripts/test-report

fuzz: ## Fuzzes every target of fuzz/ for SECONDS= each (default 10); needs a C++ compiler.
	@scripts/fuzz

sim: ## The simulations: workers that switch inside every host call (SEED=n, ROUNDS=m), and a million clients.
	@SEED="$(SEED)" ROUNDS="$(ROUNDS)" cargo test --locked --release --lib simulation -- --nocapture
	@HERD_CLIENTS=$${HERD_CLIENTS:-1000000} cargo test --locked --release --test token_herd -- --nocapture

curves: ## Our elliptic curves beside the crates of the tests, on a million signatures each (ROUNDS=62500); takes an hour.
	@ROUNDS="$(or $(ROUNDS),62500)" cargo test --locked --release --lib signature::curve -- --nocapture

schema: ## Regenerates herdgate.schema.json and kong/herdgate.meta.json from the types.
	@$(TOOL) --schema .
