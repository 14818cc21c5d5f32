# `make run` and `make test` are all that a new checkout needs.
SHELL := /bin/bash
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
export CARGO_TARGET_DIR := $(TARGET)
# Debian keeps nginx where only root looks.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: run test soak bench bench-overload bench-reloads bench-micro deb lint fmt schema docs \
	build-needs deb-needs test-needs

run: build-needs
	cargo build --release --package wiregate --bin wiregate
	exec $(TARGET)/release/wiregate run --config conf/wiregate.yaml \
		--echo 127.0.0.1:9001 --echo 127.0.0.1:9002

test: test-needs
	cargo nextest run --workspace
	cargo test --doc --workspace

# Twenty upgrades and two hundred reloads under every kind of traffic; SOAK_MINUTES sets how long it
# takes.
soak: test-needs
	cargo nextest run --package wiregate --test gateway --run-ignored only --no-capture \
		-E 'test(=upgrade::soak::soak)'

# BENCH_ROUNDS and BENCH_SECONDS set how long it takes; BENCH_ARGS goes to the runner.
bench: test-needs
	cargo build --release --package wiregate --bin wiregate
	cargo build --release --package wiregate-bench
	cargo build --profile bare --package wiregate-bench --bin bare
	$(TARGET)/release/compare $(BENCH_ARGS)

# What becomes of requests at 70 % and at 300 % of what the gateway can do, and of a polite client
# beside three kinds of attack.
bench-overload: test-needs
	cargo build --release --package wiregate --bin wiregate
	cargo build --release --package wiregate-bench --bin overload
	$(TARGET)/release/overload $(BENCH_ARGS)

# What reloading ten thousand routes twice a second does to the requests meanwhile.
bench-reloads: test-needs
	cargo build --release --package wiregate --bin wiregate
	cargo build --release --package wiregate-bench --bin reloads
	$(TARGET)/release/reloads $(BENCH_ARGS)

# The parts on their own: look-up, chain, compilation.
bench-micro: build-needs
	cargo bench --package wiregate --bench router --bench chain --bench snapshot --bench balance --bench metrics --bench cache_store

# The Debian package, and one with its debug symbols, in the folder `debian` of the target folder.
deb: deb-needs
	cargo build --release --package wiregate --bin wiregate
	scripts/build-deb.sh $(TARGET)/release/wiregate $(TARGET)/debian --dbgsym

lint: build-needs
	cargo clippy --workspace --all-targets -- -D warnings

fmt:
	cargo fmt --all

# Written beside and moved, so that a failure leaves the old file as it was.
schema: build-needs
	cargo run --quiet --package wiregate -- schema > conf/schema.json.new
	mv conf/schema.json.new conf/schema.json

docs: build-needs
	cargo run --quiet --package wiregate -- docs --out docs

build-needs:
	@scripts/install-build.sh

deb-needs: build-needs
	@scripts/install-deb.sh

test-needs: build-needs
	@scripts/install-test.sh
