# Runs the gateway as the image does: nobody's rights, a root that cannot be written to, /run/wiregate
# in memory. PROGRAM is the gateway, CONF the folder with its configuration, RUN and HEALTH the arguments
# of the image. All of it ends with the namespaces.
set -eu
# 127.0.0.1, in a network of its own: SIOCSIFFLAGS with IFF_UP.
perl -e 'socket(S, 2, 2, 0) or die $!; $up = pack("a16sx22", "lo", 1); ioctl(S, 0x8914, $up) or die $!'
mount --make-rprivate /
mount -t tmpfs run /run
cp /etc/ssl/certs/ca-certificates.crt /run/
mount -t tmpfs etc /etc
mkdir -p /etc/wiregate /etc/ssl/certs
mv /run/ca-certificates.crt /etc/ssl/certs/
cp "$CONF/wiregate.yaml" /etc/wiregate/
mkdir /run/wiregate
mount -o bind,remount,ro /etc 2> /dev/null || mount -o remount,ro /etc
mount -o bind,remount,ro /
as_nobody() { exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"; }
for folder in / /etc /etc/wiregate; do
    if (as_nobody touch "$folder/written") 2> /dev/null; then
        echo "$folder can be written to"
        exit 1
    fi
done

(as_nobody "$PROGRAM" $RUN) > /run/out 2> /run/err &
gateway=$!
wait_for() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { echo "in vain: $*"; cat /run/err; exit 1; }
        sleep 0.1
    done
}
is_ready() { [ "$("$PROGRAM" $HEALTH 2> /dev/null)" = "$1" ]; }
wait_for is_ready ok
curl -sS http://127.0.0.1:8080/
# A mistake in a new version of the configuration: the gateway goes on, and is as healthy as before.
mount -o bind,remount,rw /etc 2> /dev/null || mount -o remount,rw /etc
echo '{' > /etc/wiregate/wiregate.yaml
is_refused() { grep -q 'wiregate.yaml:' /run/err; }
wait_for is_refused
is_ready ok || exit 1
curl -sS http://127.0.0.1:9100/readyz
curl -sS -o /dev/null -w '%{http_code}\n' -X POST http://127.0.0.1:9100/reload
# A line for each request on standard output, and the gateway's own log on standard error.
has_line() { grep -q '"route":"welcome"' /run/out; }
wait_for has_line
grep -q 'the metrics listener is listening' /run/err

kill -TERM $gateway
wait_for is_ready draining
"$PROGRAM" $HEALTH && exit 1
code=0
wait $gateway || code=$?
echo "ended with $code"
"$PROGRAM" $HEALTH 2> /dev/null && exit 1
echo done
