# PostgreSQL for scripts/servers. The names postgres_* are the interface; see the head of scripts/servers.

# postgres_bin prints the directory of the server's programs: that of the version which made the data, else the newest.
postgres_bin() {
  local version="*" found
  [ -f "$BASE/postgres/data/PG_VERSION" ] && version=$(<"$BASE/postgres/data/PG_VERSION")
  found=$(compgen -G "/usr/lib/postgresql/$version/bin/initdb" | sort -V | tail -n 1) || true
  printf '%s' "${TIDINGS_POSTGRES_BIN:-${found%/initdb}}"
}

postgres_url() { printf 'postgres://tidings:tidings@127.0.0.1:%s/tidings?sslmode=disable' "$(port_of postgres)"; }
postgres_variable() { printf TIDINGS_TEST_POSTGRES; }
postgres_user() { printf postgres; }
postgres_signal() { printf INT; } # a "fast" shutdown: sessions are ended, nothing is lost

postgres_missing() {
  if [ -f "$BASE/postgres/data/PG_VERSION" ] && [ ! -x "$(postgres_bin)/postgres" ]; then
    die "postgres: $BASE/postgres/data was made by PostgreSQL $(<"$BASE/postgres/data/PG_VERSION"), which is not installed; install it, or remove that directory"
  fi
  if [ ! -x "$(postgres_bin)/initdb" ]; then echo postgresql; fi
}

# postgres_prepare makes the cluster beside its final place and renames it, so that an interrupted initdb leaves no half.
postgres_prepare() {
  local dir=$BASE/postgres bin
  bin=$(postgres_bin)
  [ -d "$dir/data" ] && return
  remove_inside "$dir" new password
  printf 'tidings\n' >"$dir/password"
  own postgres "$dir" "$dir/password"
  (cd "$dir" && as_user postgres "$bin/initdb" --pgdata=new --username=tidings --pwfile=password --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C.UTF-8) >>"$(log_of postgres)" 2>&1 || fail_with_log postgres "initdb failed"
  (cd "$dir" && echo 'CREATE DATABASE tidings' | as_user postgres "$bin/postgres" --single -D new postgres) \
    >>"$(log_of postgres)" 2>&1 || fail_with_log postgres "create database failed"
  rm -f "$dir/password"
  mv "$dir/new" "$dir/data"
}

# A dead process that nobody has reaped still has its id, and PostgreSQL takes that id in its lock file for a running
# server. No process works in the data directory here (the caller has waited for that), so the file is stale.
postgres_recover() { rm -f "$BASE/postgres/data/postmaster.pid"; }

# Durability settings stay as shipped: the crash tests kill this server. A slot that a test forgets may not fill the disk.
postgres_command() {
  COMMAND=("$(postgres_bin)/postgres" -D "$BASE/postgres/data" -p "$(port_of postgres)"
    -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c wal_level=logical
    -c max_replication_slots=50 -c max_wal_senders=50 -c max_connections=300
    -c "max_slot_wal_keep_size=${TIDINGS_POSTGRES_KEEP:-4GB}" -c "log_line_prefix=%m [%p] %q%u@%d ")
}
postgres_workdir() { printf '%s' "$BASE/postgres/data"; }

postgres_answers() {
  PGPASSWORD=tidings PGCONNECT_TIMEOUT=2 "$(postgres_bin)/psql" -h 127.0.0.1 -p "$(port_of postgres)" -U tidings -d tidings \
    -AtXc 'SELECT 1' >/dev/null 2>&1
}
