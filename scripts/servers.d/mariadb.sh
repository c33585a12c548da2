# MariaDB for scripts/servers. The names mariadb_* are the interface; see the head of scripts/servers.

mariadb_url() { printf 'mysql://root:tidings@127.0.0.1:%s/' "$(port_of mariadb)"; }
mariadb_variable() { printf TIDINGS_TEST_MYSQL; }
mariadb_user() { printf mysql; }
mariadb_signal() { printf TERM; }

mariadb_missing() { if ! command -v mariadbd >/dev/null || ! command -v mariadb-install-db >/dev/null; then echo mariadb-server; fi; }

# mariadb_prepare makes the data beside its final place and renames it, so that an interruption leaves no half. The
# init file runs at every start, before anybody can connect, and is therefore written to repeat without effect.
mariadb_prepare() {
  local dir=$BASE/mariadb
  cat >"$dir/init.sql" <<'SQL'
SET sql_log_bin = 0;
CREATE USER IF NOT EXISTS 'root'@'127.0.0.1' IDENTIFIED BY 'tidings';
ALTER USER 'root'@'127.0.0.1' IDENTIFIED BY 'tidings';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
ALTER USER 'root'@'localhost' IDENTIFIED BY 'tidings';
SQL
  # Not the directory for temporary files that all share: a server that starts removes what others have there, and
  # a server whose temporary tables are removed crashes.
  mkdir -p "$dir/tmp"
  own mysql "$dir" "$dir/init.sql" "$dir/tmp"
  [ -d "$dir/data" ] && return
  remove_inside "$dir" new
  (cd "$dir" && as_user mysql mariadb-install-db --no-defaults --datadir="$dir/new" --skip-test-db \
    --auth-root-authentication-method=normal) >>"$(log_of mariadb)" 2>&1 || fail_with_log mariadb "mariadb-install-db failed"
  mv "$dir/new" "$dir/data"
}

mariadb_recover() { :; }

# The socket's name is relative to the data directory, since a path to a socket may have only 107 bytes.
mariadb_command() {
  COMMAND=("$(command -v mariadbd)" --no-defaults --datadir="$BASE/mariadb/data" --tmpdir="$BASE/mariadb/tmp" --port="$(port_of mariadb)"
    --bind-address=127.0.0.1 --socket=mariadb.sock --pid-file="$BASE/mariadb/data/mariadb.pid" --skip-name-resolve
    --init-file="$BASE/mariadb/init.sql" --log-bin=binlog --binlog-format=ROW --binlog-row-image=FULL --server-id=1
    --max-connections=300 --binlog-expire-logs-seconds=86400
    --character-set-server=utf8mb4 --collation-server=utf8mb4_general_ci)
}
mariadb_workdir() { printf '%s' "$BASE/mariadb/data"; }

mariadb_answers() {
  MYSQL_PWD=tidings mariadb --no-defaults --protocol=tcp --host=127.0.0.1 --port="$(port_of mariadb)" --user=root \
    --connect-timeout=2 --batch --execute='SELECT 1' >/dev/null 2>&1
}
