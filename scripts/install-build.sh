#!/usr/bin/env bash
# Installs what the build needs on Debian beside Rust and a C compiler; quick when all is there.
set -euo pipefail
cd "$(dirname "$0")"

command -v cargo > /dev/null || {
    echo "Rust is missing: https://rustup.rs" >&2
    exit 1
}

# CMake builds zlib-ng, g++ what CMake checks for.
./install-packages.sh cc:gcc c++:g++ cmake:cmake
