# One command each, on a fresh machine with Rust; Postgres is installed when it is missing and that is allowed.

.PHONY: build run test lint outside demo bench fuzz deny prepare

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

# Judges from outside against the real server: the protocol's conformance suite, its inspector, the official clients,
# and schemathesis. They need Node, Python and the package registries; everything goes below target/outside.
outside: prepare
	cargo build --bin blotter --example conformance_server
	scripts/outside/conformance
	scripts/outside/inspector
	scripts/outside/clients
	scripts/outside/rest

# The main job once, on real bars of autumn 2008, and what happened.
demo: build
	scripts/demo
	scripts/demo-spread

# Every contender on one scratch Postgres, in one run; `make bench QUICK=--quick` for a minute's glance.
bench: prepare
	cargo bench --bench contenders -- $(QUICK)

# A minute for each property of everything that reads what others wrote; `make fuzz SECONDS=600` for longer.
fuzz:
	scripts/fuzz $(SECONDS)

# Licences, bans and sources of all packages; needs cargo-deny.
deny:
	cargo deny check licenses bans sources

prepare:
	@scripts/prepare
