#!/bin/sh
# Stands in for systemctl, since no systemd runs: it keeps the service wiregate by the commands of its
# unit, under its user, in its folders.
set -u
unit=/usr/lib/systemd/system/wiregate.service
socket=/run/wiregate/admin.sock

ask() { curl -s --max-time 10 --unix-socket $socket "http://localhost/$1"; }
line() { sed -n "s/^$1=//p" $unit; }
# The capabilities are those that the unit gives, and no others.
as() {
    capability=$(line AmbientCapabilities | sed 's/^CAP_//' | tr '[:upper:]' '[:lower:]')
    setpriv --reuid=wiregate --regid=wiregate --clear-groups --bounding-set="-all,+$capability" \
        --inh-caps="-all,+$capability" --ambient-caps="-all,+$capability" "$@"
}
pid() { ask 'readyz?verbose' | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p'; }
await() {
    n=0
    until eval "$1"; do
        n=$((n + 1))
        [ $n -lt 200 ] || { echo "systemctl: waited in vain: $1" >&2; exit 1; }
        sleep 0.1
    done
}

verb=
for word; do
    case $word in
    -*) ;;
    *) verb=$word && break ;;
    esac
done
echo "$verb" >> /run/asked
case $verb in
is-active) [ -n "$(pid)" ] ;;
# These are about files only.
is-enabled | preset | enable | disable) SYSTEMD_OFFLINE=1 exec systemctl-of-systemd "$@" ;;
start)
    for folder in run lib cache log; do
        [ $folder = run ] || folder=var/$folder
        install -d -o wiregate -g wiregate -m 750 /$folder/wiregate
    done
    as $(line ExecStartPre | sed 's/^-//') > /dev/null || true
    as $(line ExecStart) < /dev/null > /run/log 2>&1 &
    await '[ "$(ask readyz)" = ok ]'
    ;;
stop)
    old=$(pid)
    [ -n "$old" ] || exit 0
    kill -TERM "$old"
    await "! kill -0 $old 2> /dev/null"
    rm -rf /run/wiregate
    ;;
esac
