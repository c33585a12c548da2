# NATS with JetStream for scripts/servers. The names nats_* are the interface; see the head of scripts/servers.

nats_url() { printf 'nats://127.0.0.1:%s' "$(port_of nats)"; }
nats_variable() { printf TIDINGS_TEST_NATS; }
nats_user() { :; }
nats_signal() { printf TERM; }
nats_missing() { :; }

# nats_install builds the server from the module that go.mod names, again when that version changes.
nats_install() {
  local go version
  version=$(sed -n 's|^.*github.com/nats-io/nats-server/v2 \(v[^ ]*\).*|\1|p' "$ROOT/go.mod")
  [ -n "$version" ] || die "nats: go.mod does not name github.com/nats-io/nats-server/v2"
  [ -x "$PROGRAMS/bin/nats-server" ] && [ "$(cat "$PROGRAMS/bin/nats-server.version" 2>/dev/null)" = "$version" ] && return
  go=$(command -v go || command -v /usr/local/go/bin/go) || die "nats: go is not installed; install Go from https://go.dev/dl"
  progress "nats: building nats-server $version"
  mkdir -p "$PROGRAMS/bin"
  (cd "$ROOT" && "$go" build -o "$PROGRAMS/bin/nats-server" github.com/nats-io/nats-server/v2) >>"$LOGS/install.log" 2>&1 ||
    fail_with_tail "$LOGS/install.log" "nats: go build failed"
  printf '%s\n' "$version" >"$PROGRAMS/bin/nats-server.version"
}

nats_prepare() {
  cat >"$BASE/nats/nats.conf" <<CONF
listen: "127.0.0.1:$(port_of nats)"
jetstream { store_dir: "$BASE/nats/data" }
CONF
}

nats_recover() { :; }
nats_command() { COMMAND=("$PROGRAMS/bin/nats-server" --config "$BASE/nats/nats.conf"); }
nats_workdir() { printf '%s' "$BASE/nats"; }

# nats_answers asks JetStream for its state over the client protocol, so that it waits until streams are recovered.
nats_answers() {
  local port
  port=$(port_of nats)
  timeout 3 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf "CONNECT {\"verbose\":false}\r\nSUB reply 1\r\nPUB \$JS.API.INFO reply 0\r\n\r\nPING\r\n" >&3
    while read -r line <&3; do
      case $line in *account_info_response*) exit 0 ;; esac
    done
    exit 1' _ "$port" >/dev/null 2>&1
}
