#!/usr/bin/env bash
# A real Trino, the engine of Athena, on loopback: reads Iceberg tables over the APIs of Glue and S3.
#
#   trino.sh up DIR PORT GLUE S3 KEY SECRET REGION   prints the address; GLUE and S3 are HOST:PORT of plain HTTP
#   trino.sh down DIR                                stops what `up` started in DIR, by the process id kept there
#   trino.sh fetch                                   only makes sure that it is there
#
# Exit code 77: it cannot be had here (no Java 24, no Maven, no download). Its two archives come from Maven Central, half a
# GiB together, kept unpacked in the user's cache. TRINO_JAVA picks the JVM, HEAP its heap (default 2g).
set -euo pipefail
usage() { sed -n '4,6s/^# *//p' "$0" >&2; exit 2; }
# the newest version whose archives are published
version=476
home=${TRINO_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/ticktide/trino-$version}
unavailable() { echo "no Trino here: $1" >&2; exit 77; }

# The first JVM that is new enough.
find_java() {
  local candidate
  for candidate in "${TRINO_JAVA:-}" ${JAVA_HOME:+"$JAVA_HOME/bin/java"} java /usr/lib/jvm/*/bin/java; do
    [ -n "$candidate" ] || continue
    local major; major=$("$candidate" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' || true)
    [ "${major:-0}" -ge 24 ] && { echo "$candidate"; return; }
  done
  unavailable "it needs Java 24 or newer"
}

# Collected beside their place and moved in whole: an interrupted download leaves nothing that looks complete.
fetch() {
  [ -d "$home" ] && return
  command -v mvn >/dev/null || unavailable "no Maven to fetch it with"
  mkdir -p "$(dirname "$home")"
  local fresh artifact; fresh=$(mktemp -d "$home.XXXXXX")
  for artifact in "trino-server-core:$version:tar.gz" "trino-iceberg:$version:zip"; do
    timeout -s KILL 900 mvn -q -B -ntp dependency:copy "-Dartifact=io.trino:$artifact" -DoutputDirectory="$fresh/archives" >&2 ||
      { rm -rf "$fresh"; unavailable "io.trino:$artifact cannot be fetched"; }
  done
  # of the server its jars, not the plugins that come with it
  tar xzf "$fresh/archives/trino-server-core-$version.tar.gz" -C "$fresh" --strip-components=1 --exclude='*/plugin/*'
  python3 -m zipfile -e "$fresh/archives/trino-iceberg-$version.zip" "$fresh/plugin"
  rm -rf "$fresh/archives"
  mv "$fresh" "$home"
  rm -f "$HOME"/.m2/repository/io/trino/trino-{server-core,iceberg}/"$version"/*.{tar.gz,zip}
}

up() {
  local dir=$1 port=$2 glue=$3 s3=$4 key=$5 secret=$6 region=$7 java
  java=$(find_java)
  fetch
  mkdir -p "$dir/etc/catalog"; dir=$(cd "$dir" && pwd)
  cat >"$dir/etc/config.properties" <<P
coordinator=true
node-scheduler.include-coordinator=true
http-server.http.port=$port
discovery.uri=http://127.0.0.1:$port
catalog.management=static
plugin.dir=$home/plugin
query.max-memory=512MB
query.max-memory-per-node=512MB
memory.heap-headroom-per-node=256MB
P
  cat >"$dir/etc/catalog/lake.properties" <<P
connector.name=iceberg
iceberg.catalog.type=glue
hive.metastore.glue.endpoint-url=http://$glue
hive.metastore.glue.region=$region
hive.metastore.glue.aws-access-key=$key
hive.metastore.glue.aws-secret-key=$secret
fs.native-s3.enabled=true
s3.endpoint=http://$s3
s3.region=$region
s3.path-style-access=true
s3.aws-access-key=$key
s3.aws-secret-key=$secret
P
  cd "$dir"
  setsid "$java" -server -Xmx"${HEAP:-2g}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dfile.encoding=UTF-8 \
    --add-modules=jdk.incubator.vector --enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow \
    -Djdk.attach.allowAttachSelf=true -Dconfig=etc/config.properties -Dnode.environment=test -Dnode.id=one \
    -Dnode.internal-address=127.0.0.1 -Dnode.bind-ip=127.0.0.1 -Dnode.data-dir="$dir/data" \
    -cp "$home/lib/*" io.trino.server.TrinoServer >server.log 2>&1 </dev/null &
  echo $! >pid
  local _
  for _ in $(seq 1200); do
    grep -q 'SERVER STARTED' server.log && { echo "http://127.0.0.1:$port"; return; }
    kill -0 "$(cat pid)" 2>/dev/null || break
    sleep 0.1
  done
  tail -20 server.log >&2
  echo "error: Trino in $dir did not come up" >&2
  exit 1
}

down() {
  local pid _
  pid=$(cat "$1/pid" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$1/pid"
}

case ${1:-} in
  up) [ $# = 8 ] || usage; "$@" ;;
  down) [ $# = 2 ] || usage; "$@" ;;
  fetch) find_java >/dev/null; fetch ;;
  *) usage ;;
esac
