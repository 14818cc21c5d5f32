# Runs the unit under a systemd of its own, in namespaces that end with it, and says how it went.
# FOLDER has the configuration, and in `units` the unit; PROGRAM is what it runs. Both are mounted
# where the unit's sandbox shows them, at THERE.
set -eu
# Credentials reach the unit by mounts that are passed on.
mount --make-rshared /
mount --bind "$FOLDER" "$THERE"
mount --bind "$PROGRAM" "$THERE/wiregate"
mount -t tmpfs run /run
mount -t tmpfs runtime "$XDG_RUNTIME_DIR"
chmod 700 "$XDG_RUNTIME_DIR"
mkdir -p /run/systemd/system /run/systemd/inaccessible
cd /run/systemd/inaccessible
mkdir -m 000 dir
touch reg
mkfifo fifo
mknod chr c 0 0
mknod blk b 0 0
chmod 000 reg fifo chr blk
cd /

/lib/systemd/systemd --user --log-level=warning &
show() { systemctl --user show wiregate.service -p "$1" --value; }
await() {
    n=0
    until eval "$1"; do
        n=$((n + 1))
        if [ $n -gt 200 ]; then
            echo "waited in vain: $1"
            systemctl --user --no-pager status wiregate.service || true
            exit 1
        fi
        sleep 0.1
    done
}
told() { echo "$1 $(show SubState) $(show StatusText)"; }

await 'systemctl --user is-active --quiet default.target 2> /dev/null'
# What is refused is not tried again, and when it is mended nothing is in the way of the next start.
cp "$THERE/wiregate.yaml" "$THERE/good.yaml"
echo 'routes: [{}]' > "$THERE/wiregate.yaml"
systemctl --user start wiregate.service 2> /dev/null || echo "refused $(show ExecMainStatus) $(show NRestarts)"
cp "$THERE/good.yaml" "$THERE/wiregate.yaml"
systemctl --user start wiregate.service
await '[ -n "$(show StatusText)" ]'
told started
FIRST=$(show MainPID)
curl -s -o /dev/null -w 'answers %{http_code}\n' "$URL"
systemctl --user reload wiregate.service
await 'show StatusText | grep -q "configuration 2"'
told reloaded
echo 'routes: [{}]' > "$THERE/wiregate.yaml"
systemctl --user reload wiregate.service 2> /dev/null || echo "reload refused, $(show SubState)"
cp "$THERE/good.yaml" "$THERE/wiregate.yaml"
"$THERE/wiregate" upgrade --admin "unix:$XDG_RUNTIME_DIR/wiregate/admin.sock" > /dev/null
await '[ "$(show MainPID)" != "$FIRST" ]'
await "! [ -e /proc/$FIRST ]"
await '! show StatusText | grep -q finishes'
told upgraded
curl -s -o /dev/null -w 'answers %{http_code}\n' "$URL"
SECOND=$(show MainPID)
kill -KILL "$SECOND"
await '[ "$(show NRestarts)" = 1 ] && [ "$(show SubState)" = running ]'
curl -s -o /dev/null -w 'restarted, answers %{http_code}\n' "$URL"
await 'show StatusText | grep -q connections'
systemctl --user stop wiregate.service
echo "stopped $(show SubState) $(show Result)"
