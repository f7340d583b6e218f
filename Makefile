# Two commands: `make demo` shows the main job on real servers, `make test` runs every test.
# Both build what is missing; prerequisites are Rust, Go, make, a C compiler and git.

CARGO ?= cargo
TOPOLOGY ?= supercluster
MINUTES ?= 10
TARGET ?= $(or $(CARGO_TARGET_DIR),target)
CARGO_DENY ?= 0.20.2
# How many tests against real servers run at once, each with up to a dozen of them. Empty: as many as suit two cores.
TEST_THREADS ?=

# Resolves the named servers and clients, or all that are pinned, and fails when one is missing.
with_tools = env=$$(tools/build --env $(1)) && eval "$$env" &&

# What the demo runs besides Leeward; the tests need more. With KEEP the `nats` command, too, to look around with.
DEMO_TOOLS = nats-server etcd kube-apiserver kubectl $(if $(KEEP),nats)
BENCH_TOOLS = nats-server nats-server-2.14 etcd kube-apiserver kubectl nats
# Seconds of CPU time that the first build of the demo's own binaries takes.
DEMO_CPU_SECONDS = 500

.PHONY: all tools build image demo demo-plan demo-tools demo-binaries test bench soak check deny fmt generate clean

all: build

tools:
	tools/build

build:
	$(CARGO) build --locked -p leeward

# The container image as an OCI archive, without Docker, and its SBOM: target/image. Installs Rust's musl target if it is missing.
image:
	$(CARGO) xtask image

# Servers, in Go, and Leeward, in Rust, are built side by side: neither keeps two cores busy to its end.
demo: demo-plan
	+@$(MAKE) --no-print-directory --jobs=2 demo-tools demo-binaries
	@$(call with_tools,$(DEMO_TOOLS)) \
		$(TARGET)/demo/leeward-lab demo --topology $(TOPOLOGY) $(if $(KEEP),--keep)

demo-plan:
	@seconds=$$(tools/build --cost $(DEMO_TOOLS)) && cores=$$(getconf _NPROCESSORS_ONLN) && \
		{ test -x $(TARGET)/demo/leeward-lab || seconds=$$((seconds + $(DEMO_CPU_SECONDS))); } && \
		{ test "$$seconds" -eq 0 || \
		echo "building what is missing, once: about $$((seconds / cores / 60 + 1)) min on $$cores idle cores, besides downloads"; }

demo-tools:
	@tools/build --quiet $(DEMO_TOOLS)

demo-binaries:
	@test -x $(TARGET)/demo/leeward-lab || echo "building leeward and leeward-lab: about $(DEMO_CPU_SECONDS) s of CPU time"
	@$(CARGO) build --locked --quiet --profile demo -p leeward -p leeward-lab

# Always with all packages: another choice of them would build half of all crates again, with other features.
test: tools
	$(CARGO) build --locked --workspace --bins && \
	$(call with_tools) exec env RUST_BACKTRACE=0 $(TARGET)/debug/xtask test $(if $(TEST_THREADS),--threads $(TEST_THREADS))

bench:
	tools/build $(BENCH_TOOLS)
	$(CARGO) build --locked --release -p leeward -p leeward-lab
	$(CARGO) bench --locked -p leeward-core --bench decide
	$(call with_tools,$(BENCH_TOOLS)) $(TARGET)/release/leeward-lab bench

# Ten minutes; MINUTES and SEED may be given.
soak:
	tools/build $(DEMO_TOOLS)
	$(CARGO) build --locked --release -p leeward -p leeward-lab
	$(call with_tools,$(DEMO_TOOLS)) RUST_BACKTRACE=0 $(TARGET)/release/leeward-lab soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(TOPOLOGY),--topology $(TOPOLOGY))

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

# Known vulnerabilities, licences and sources of all dependencies. Builds cargo-deny if it is missing, and fetches the RustSec
# database; licences and sources are a test of xtask besides, which needs neither.
deny:
	test "$$($(CARGO) deny --version 2>/dev/null)" = "cargo-deny $(CARGO_DENY)" || $(CARGO) install --locked cargo-deny@$(CARGO_DENY)
	$(CARGO) deny --locked check

generate:
	$(CARGO) xtask crds
	$(CARGO) xtask docs

fmt:
	$(CARGO) fmt --all

clean:
	$(CARGO) clean
