#!/usr/bin/env bash
# install-packages.sh COMMAND:PACKAGE ... installs the Debian packages of the commands that are
# missing.
set -euo pipefail

# Daemons are here, and not on the search path of everybody.
PATH=$PATH:/usr/sbin:/sbin

missing=()
for pair in "$@"; do
    command -v "${pair%%:*}" > /dev/null || missing+=("${pair#*:}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

command -v apt-get > /dev/null || {
    echo "please install: ${missing[*]}" >&2
    exit 1
}
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)

# Debian starts a daemon when it is installed. Tests start their own, so that none of these is to run.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap '"${as_root[@]}" rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy > /dev/null
    "${as_root[@]}" chmod 755 $policy
fi

echo "installing ${missing[*]}" >&2
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -y --no-install-recommends "${missing[@]}" > /dev/null
