#!/usr/bin/env bash
# Installs what the tests and benchmarks need: real peers, loads, and the test runner. Quick when
# all is there.
set -euo pipefail
cd "$(dirname "$0")"

./install-deb.sh
./install-packages.sh \
    curl:curl nginx:nginx h2load:nghttp2-client nghttp:nghttp2-client wrk:wrk taskset:util-linux chrt:util-linux \
    openssl:openssl prlimit:util-linux redis-server:redis-server redis-cli:redis-tools zstd:zstd \
    unshare:util-linux setpriv:util-linux systemd-analyze:systemd promtool:prometheus perl:perl-base \
    deb-systemd-helper:init-system-helpers lintian:lintian man:man-db mandoc:mandoc zsh:zsh fish:fish python3:python3

./install-valkey.sh

cargo nextest --version > /dev/null 2>&1 || cargo install cargo-nextest --locked
