# One command each, on a fresh machine with Rust; Postgres is installed when it is missing and that is allowed.

.PHONY: build run test lint demo bench deny prepare

build: prepare
	cargo build --release --bin blotter

run: build
	target/release/blotter serve

# Everything that has to be green: format, lints, all tests of all crates.
test: prepare lint
	cargo test --workspace

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings

# The main job once, on real bars of autumn 2008, and what happened.
demo: build
	scripts/demo

# Every contender on one scratch Postgres, in one run; `make bench QUICK=--quick` for a minute's glance.
bench: prepare
	cargo bench --bench contenders -- $(QUICK)

# Licences, bans and sources of all packages; needs cargo-deny.
deny:
	cargo deny check licenses bans sources

prepare:
	@scripts/prepare
