#!/usr/bin/env bash
# Installs what the Debian package is made with. Quick when all is there.
set -euo pipefail
cd "$(dirname "$0")"

# dpkg-dev finds out what the program depends on, binutils takes its symbols out.
./install-packages.sh dpkg-deb:dpkg dpkg-shlibdeps:dpkg-dev objcopy:binutils gzip:gzip

cargo deb --version > /dev/null 2>&1 || cargo install cargo-deb --version 3.8.0 --locked
