#!/usr/bin/env bash
# Makes sure that what the tests need is there: prerequisites, then what is kept in ${XDG_CACHE_HOME:-~/.cache}/ticktide.
#
#   prepare.sh [--install]    with it, apt-get installs what is missing (only as root on Debian), and promtool is fetched
#
# Kept are a Python venv that matches tests/oracle/requirements.txt, Kafka's jars, and promtool, the judge of our metrics.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ticktide
case ${1:-} in
  --install) install=yes ;;
  '') install='' ;;
  *) sed -n '4s/^# *//p' "$0" >&2; exit 2 ;;
esac

# --- prerequisites: what is missing, and the Debian package that has it -------------------------------------------------
missing=()
need() { # need PACKAGE COMMAND...: the command must succeed
  "${@:2}" >/dev/null 2>&1 || missing+=("$1")
}
look() {
  missing=()
  need build-essential sh -c 'cc --version && make --version'
  need pkg-config pkg-config --version
  need libssl-dev sh -c 'echo "#include <openssl/ssl.h>" | cc -E -'
  need zlib1g-dev sh -c 'echo "#include <zlib.h>" | cc -E -'
  need default-jre-headless java -version
  need openssl openssl version
  [ -e "$cache/kafka/libs" ] || need maven mvn --version
  [ -x "$cache/venv/bin/python" ] || need python3-venv python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
}
if ! cargo --version >/dev/null 2>&1; then
  echo "error: no Rust" >&2
  echo "hint: install rustup (https://rustup.rs); rust-toolchain.toml then names the version" >&2
  exit 2
fi
look
if [ ${#missing[@]} -gt 0 ] && [ -n "$install" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing: ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  look
fi
if [ ${#missing[@]} -gt 0 ]; then
  echo "error: missing prerequisites; their Debian packages: ${missing[*]}" >&2
  echo "hint: apt-get install ${missing[*]}, or run tests/run --install as root" >&2
  exit 2
fi

# --- what is kept ---------------------------------------------------------------------------------------------------------
mkdir -p "$cache"
if ! cmp -s tests/oracle/requirements.txt "$cache/venv/requirements.txt"; then
  [ -x "$cache/venv/bin/python" ] || python3 -m venv "$cache/venv"
  "$cache/venv/bin/pip" install -q --disable-pip-version-check -r tests/oracle/requirements.txt
  cp tests/oracle/requirements.txt "$cache/venv/requirements.txt"
fi
tests/services/kafka.sh jars
# promtool comes out of the package of a server that nobody wants to have running
if [ -n "$install" ] && ! command -v promtool >/dev/null && [ ! -x "$cache/promtool" ] && command -v apt-get >/dev/null; then
  unpacked=$(mktemp -d)
  if (cd "$unpacked" && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } \
    && dpkg-deb -x prometheus_*.deb . ) >/dev/null 2>&1; then
    cp "$unpacked/usr/bin/promtool" "$cache/promtool"
  fi
  rm -rf "$unpacked"
fi
