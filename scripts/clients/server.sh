# Builds, starts and stops the server for the scripts that run clients against it. Sourced, not run.
#
# SERVER_BINARY names another binary than the one that `cargo build --release` makes, START_SECONDS how long it may take to
# say where it listens (10).

REPOSITORY="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
CACHE="$REPOSITORY/scripts/.cache"
mkdir -p "$CACHE"

# Sets SERVER_BINARY, building it unless somebody named one.
build_server() {
    if [ -z "${SERVER_BINARY:-}" ]; then
        (cd "$REPOSITORY" && cargo build --release --quiet) || return 1
        SERVER_BINARY="${CARGO_TARGET_DIR:-$REPOSITORY/target}/release/geoloop"
    fi
    export SERVER_BINARY
}

# Starts the server with the flags given and sets SERVER_ADDRESS (host:port) and SERVER_ID (its process).
start_server() {
    local line seconds=${START_SECONDS:-10}
    coproc SERVER { exec "$SERVER_BINARY" --listen 127.0.0.1:0 "$@" 2>"$CACHE/server.log"; }
    SERVER_ID=$SERVER_PID
    if ! read -r -t "$seconds" line <&"${SERVER[0]}" || [[ "$line" != "listening on http://"* ]]; then
        echo "the server did not say where it listens within $seconds s; its log:" >&2
        cat "$CACHE/server.log" >&2
        return 1
    fi
    SERVER_ADDRESS="${line#listening on http://}"
}

# Asks the server to drain and returns its exit code; one that has not ended after 15 s is killed (137).
stop_server() {
    [ -n "${SERVER_ID:-}" ] || return 0
    local id=$SERVER_ID code=0
    SERVER_ID=
    kill -TERM "$id" 2>/dev/null
    timeout 15 tail --pid="$id" -f /dev/null || kill -KILL "$id" 2>/dev/null
    wait "$id" 2>/dev/null || code=$?
    return "$code"
}
