#!/usr/bin/env bash
# A real Apache Kafka on loopback with a listener of each kind of security, its certificates and its user; see kafka.sh.
#
#   PASSWORD=… kafka-secure.sh up DIR [BASE_PORT=19492]
#   kafka-secure.sh down DIR
#
# BASE_PORT is a plain listener, +1 SASL_SSL (SCRAM-SHA-512, user `ticktide` with PASSWORD), +2 SSL that wants a client's
# certificate. DIR/certificates: ca.pem; client.pem and client.key (its pass phrase is PASSWORD, too) that the CA signed;
# other-ca.pem, other.pem and other.key, which it knows nothing of.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# authority NAME: a self-signed CA.
authority() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" -keyout "$1.key" -out "$1.pem" 2>/dev/null
}

# certificate NAME AUTHORITY: a key and what the CA says of it, valid for loopback.
certificate() {
  openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
  openssl x509 -req -days 2 -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -out "$1.pem" \
    -extfile <(echo 'subjectAltName=IP:127.0.0.1,DNS:localhost') 2>/dev/null
  rm "$1.csr"
}

up() {
  local dir=${1:?} base=${2:-19492}
  mkdir -p "$dir/certificates"; dir=$(cd "$dir" && pwd)
  (
    cd "$dir/certificates"
    umask 077
    authority ca; authority other-ca
    certificate server ca; certificate client ca; certificate other other-ca
    cat server.key server.pem >server-both.pem
    printf %s "$PASSWORD" | openssl pkcs8 -topk8 -in client.key -out client.encrypted -passout stdin
    mv client.encrypted client.key
  )
  local names="PLAINTEXT://127.0.0.1:$base,SASL_SSL://127.0.0.1:$((base + 1)),MUTUAL://127.0.0.1:$((base + 2))"
  cat >"$dir/security.properties" <<P
listeners=$names,CONTROLLER://127.0.0.1:$((base + 100))
advertised.listeners=$names
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.mutual.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location=$dir/certificates/server-both.pem
ssl.truststore.type=PEM
ssl.truststore.location=$dir/certificates/ca.pem
P
  MORE_PROPERTIES=$dir/security.properties MORE_FORMAT="--add-scram=SCRAM-SHA-512=[name=ticktide,password=$PASSWORD]" \
    "$here/kafka.sh" up "$dir" 1 "$base"
}

case ${1:-} in
  up) [ $# -ge 2 ] && [ -n "${PASSWORD:-}" ] || { sed -n '4,5s/^# *//p' "$0" >&2; exit 2; }; up "${@:2}" ;;
  down) [ $# -ge 2 ] || { sed -n '4,5s/^# *//p' "$0" >&2; exit 2; }; exec "$here/kafka.sh" down "$2" ;;
  *) sed -n '4,5s/^# *//p' "$0" >&2; exit 2 ;;
esac
