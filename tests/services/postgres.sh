#!/usr/bin/env bash
# A real Postgres on loopback, from Debian's package `postgresql`, that asks for a password.
#
#   postgres.sh up DIR PORT       prints PASSWORD, of role `ticktide`, owner of the empty database `lake`
#   postgres.sh start|crash DIR   starts it again on its data; ends it as a loss of power does
#   postgres.sh tls DIR CERTIFICATE KEY   starts it again so that it takes only connections with TLS, with this certificate
#   postgres.sh down DIR          stops it and removes its data
#
# Exit code 77: it cannot be had here. A Postgres refuses to run as root: root runs it as user `postgres`. Its data lie in
# DIR/data's folder, below /tmp: that user need not see DIR.
set -euo pipefail
usage() { sed -n '4,7s/^# *//p' "$0" >&2; exit 2; }

bin=$(for folder in "${POSTGRES_BIN:-}" /usr/lib/postgresql/*/bin "$(dirname "$(command -v pg_ctl || echo /none)")"; do
  [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ] && { echo "$folder"; break; }
done)
as=()
if [ "$(id -u)" = 0 ]; then as=(runuser -u postgres --); fi

up() {
  [ -n "$bin" ] || { echo "no Postgres here: Debian's package is \`postgresql\`" >&2; exit 77; }
  if [ "$(id -u)" = 0 ] && ! id postgres >/dev/null 2>&1; then
    echo "no Postgres here: root needs the user \`postgres\` to run it" >&2; exit 77
  fi
  mkdir -p "$1"
  local data password; data=$(mktemp -d /tmp/ticktide-postgres.XXXXXX)
  echo "$data" >"$1/data"; echo "$2" >"$1/port"
  password=$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')
  echo "$password" >"$data/password"
  [ ${#as[@]} = 0 ] || chown -R postgres "$data"
  "${as[@]}" "$bin/initdb" -D "$data/pg" -U ticktide -A scram-sha-256 --pwfile="$data/password" -E UTF8 --locale=C >"$1/initdb.log" 2>&1 ||
    { cat "$1/initdb.log" >&2; exit 1; }
  start "$1"
  PGPASSWORD=$password "$bin/createdb" -h 127.0.0.1 -p "$2" -U ticktide lake
  echo "$password"
}

start() {
  local data; data=$(cat "$1/data")
  "${as[@]}" "$bin/pg_ctl" -D "$data/pg" -l "$data/server.log" -w -t 30 \
    -o "-c listen_addresses=127.0.0.1 -c port=$(cat "$1/port") -c unix_socket_directories='' -c shared_buffers=16MB" start >/dev/null ||
    { tail -20 "$data/server.log" >&2; exit 1; }
}

crash() { "${as[@]}" "$bin/pg_ctl" -D "$(cat "$1/data")/pg" -m immediate -w -t 30 stop >/dev/null; }

tls() {
  local data; data=$(cat "$1/data")
  crash "$1"
  cp "$2" "$data/pg/server.crt"; cp "$3" "$data/pg/server.key"; chmod 600 "$data/pg/server.key"
  [ ${#as[@]} = 0 ] || chown postgres "$data/pg/server.crt" "$data/pg/server.key"
  echo "ssl = on" >>"$data/pg/postgresql.conf"
  sed -i 's/^host /hostssl /' "$data/pg/pg_hba.conf"
  start "$1"
}

down() {
  local data; data=$(cat "$1/data" 2>/dev/null) || return 0
  "${as[@]}" "$bin/pg_ctl" -D "$data/pg" -m immediate -w -t 30 stop >/dev/null 2>&1 || true
  rm -rf "$data"; rm -f "$1/data"
}

case ${1:-} in
  up) [ $# = 3 ] || usage; "$@" ;;
  start | crash | down) [ $# = 2 ] || usage; "$@" ;;
  tls) [ $# = 4 ] || usage; "$@" ;;
  *) usage ;;
esac
