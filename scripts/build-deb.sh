#!/usr/bin/env bash
# build-deb.sh PROGRAM FOLDER [OPTION ...] makes the Debian package of a program that has been built, in
# this folder. The options go to cargo-deb.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "$1") out=$(realpath -m "$2")
shift 2

# What cargo-deb takes for the target folder. Its `release/deb` has what the program writes about itself.
staged=$out/staged
rm -rf "$staged"
mkdir -p "$staged/release/deb/completions"
cp "$program" "$staged/release/wiregate"
"$program" schema > "$staged/release/deb/schema.json"
for shell in bash zsh fish; do
    "$program" completions $shell > "$staged/release/deb/completions/$shell"
done

# The times of files are those of the sources, so that the same sources make the same package.
[ -n "${SOURCE_DATE_EPOCH:-}" ] ||
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2> /dev/null || stat -c %Y Cargo.toml)
export SOURCE_DATE_EPOCH
"$program" man --out "$staged/release/deb/man"
gzip -9n "$staged"/release/deb/man/*
CARGO_TARGET_DIR=$staged cargo deb --package wiregate --no-build --locked --offline --output "$out/" "$@"
rm -r "$staged"
