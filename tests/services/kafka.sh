#!/usr/bin/env bash
# A real Apache Kafka in KRaft mode (no ZooKeeper) on loopback, from Maven Central jars.
#
#   kafka.sh up DIR [BROKERS=1] [BASE_PORT=19092]    prints the bootstrap list, also written to DIR/bootstrap
#   kafka.sh down DIR                                stops what `up` started in DIR, by the process ids kept there
#   kafka.sh jars                                    only makes sure that the jars are there
#
# Broker i listens on 127.0.0.1:BASE_PORT+i-1, its controller on BASE_PORT+99+i. DIR/node-I/{pid,server.log,data,start}:
# `kill -9 $(cat DIR/node-I/pid)` and DIR/node-I/start are a crash and a restart. JAVA picks the JVM, HEAP its heap,
# KAFKA_LIBS a folder of jars (default: the user's cache). MORE_PROPERTIES names a file of settings that go over a broker's
# own, MORE_FORMAT an argument that its storage is formatted with (`--add-scram=…`); kafka-secure.sh uses both.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n '4,6s/^# *//p' "$0" >&2; exit 2; }
java=${JAVA:-java}; heap=${HEAP:-256m}
libs=${KAFKA_LIBS:-${XDG_CACHE_HOME:-$HOME/.cache}/ticktide/kafka/libs}

# Collected beside their place and moved in whole: an interrupted download leaves nothing that looks complete.
jars() {
  compgen -G "$libs/kafka_2.13-*.jar" >/dev/null && return
  mkdir -p "$(dirname "$libs")"
  local fresh; fresh=$(mktemp -d "$(dirname "$libs")/libs.XXXXXX")
  mvn -q -B -ntp -f "$here/kafka/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$fresh" >&2
  rm -rf "$libs"; mv "$fresh" "$libs"
}

# write_start NODE: the script that starts one broker, or starts it again on its data after a kill.
write_start() {
  { echo '#!/usr/bin/env bash'
    printf 'cd %q || exit 1; rm -f server.log\nsetsid' "$1"
    printf ' %q' "$java" -Xms64m -Xmx"$heap" "${jvm[@]}" kafka.Kafka server.properties
    printf ' >server.log 2>&1 </dev/null &\necho $! >pid\n'
  } >"$1/start"
  chmod +x "$1/start"
}

# write_properties NODE ID VOTERS BASE REPLICAS MIN_ISR
write_properties() {
  cat >"$1/server.properties" <<P
process.roles=broker,controller
node.id=$2
controller.quorum.voters=$3
listeners=PLAINTEXT://127.0.0.1:$(($4 + $2 - 1)),CONTROLLER://127.0.0.1:$(($4 + 99 + $2))
advertised.listeners=PLAINTEXT://127.0.0.1:$(($4 + $2 - 1))
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$1/data
auto.create.topics.enable=false
default.replication.factor=$5
min.insync.replicas=$6
offsets.topic.replication.factor=$5
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$5
transaction.state.log.min.isr=$6
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=$5
share.coordinator.state.topic.min.isr=$6
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=6000
num.network.threads=2
num.io.threads=2
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=4194304
P
  [ -z "${MORE_PROPERTIES:-}" ] || cat "$MORE_PROPERTIES" >>"$1/server.properties"
}

up() {
  local dir=${1:?} brokers=${2:-1} base=${3:-19092} i node
  jars
  mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
  jvm=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -Dorg.slf4j.simpleLogger.defaultLogLevel=info
       -Dorg.slf4j.simpleLogger.showDateTime=true -cp "$libs/*")
  local cluster; cluster=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')
  local voters='' bootstrap='' replicas=$((brokers < 3 ? brokers : 3)); local min_isr=$((replicas > 2 ? 2 : 1))
  for i in $(seq "$brokers"); do
    voters+=${voters:+,}$i@127.0.0.1:$((base + 99 + i)); bootstrap+=${bootstrap:+,}127.0.0.1:$((base + i - 1))
  done
  local -a formats=()
  for i in $(seq "$brokers"); do
    node=$dir/node-$i; mkdir -p "$node"
    write_properties "$node" "$i" "$voters" "$base" "$replicas" "$min_isr"
    write_start "$node"
    [ -e "$node/data/meta.properties" ] && continue   # old data: start on it
    "$java" "${jvm[@]}" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn kafka.tools.StorageTool format \
      "--cluster-id=$cluster" -c "$node/server.properties" ${MORE_FORMAT:+"$MORE_FORMAT"} >"$node/format.log" 2>&1 &
    formats+=($!)
  done
  for i in "${formats[@]}"; do
    wait "$i" || { cat "$dir"/node-*/format.log >&2; echo "error: the broker's storage could not be formatted" >&2; exit 1; }
  done
  for i in $(seq "$brokers"); do "$dir/node-$i/start"; done
  for i in $(seq "$brokers"); do ready "$dir/node-$i"; done
  echo "$bootstrap" | tee "$dir/bootstrap"
}

# ready NODE: waits for the log line that says so; fails with the log's end when the broker died or took 90 s.
ready() {
  local _
  for _ in $(seq 900); do
    grep -q 'Kafka Server started' "$1/server.log" 2>/dev/null && return
    kill -0 "$(cat "$1/pid")" 2>/dev/null || break
    sleep 0.1
  done
  tail -20 "$1/server.log" >&2
  echo "error: the broker in $1 did not come up" >&2
  exit 1
}

down() {
  local file pid _
  for file in "${1:?}"/node-*/pid; do
    pid=$(cat "$file" 2>/dev/null) && kill "$pid" 2>/dev/null || true
  done
  for file in "$1"/node-*/pid; do
    pid=$(cat "$file" 2>/dev/null) || continue
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
    rm -f "$file"
  done
}

case ${1:-} in
  up | down) [ $# -ge 2 ] || usage; "$@" ;;
  jars) jars ;;
  *) usage ;;
esac
