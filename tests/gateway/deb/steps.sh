# What an administrator does with the package, and what comes of it.
set -u

url=http://127.0.0.1:8080/
config=/etc/wiregate/wiregate.yaml
code() { curl -s -o /dev/null --max-time 10 -w '%{http_code}\n' $url; }
pid() {
    curl -s --unix-socket /run/wiregate/admin.sock 'http://localhost/readyz?verbose' |
        sed -n 's/.*"pid": *\([0-9]*\).*/\1/p'
}
asked() { [ ! -e /run/asked ] || echo "asked for: $(sort -u /run/asked | tr '\n' ' ')"; rm -f /run/asked; }
version() { dpkg-query -W -f '${db:Status-Abbrev}${Version}' wiregate; }
dpkg() { command dpkg --force-unsafe-io --no-triggers "$@" > /tmp/said 2>&1; }
failed() { echo "failed: $1"; cat /tmp/said; cat /run/log; exit 1; }
await() {
    n=0
    until eval "$1"; do
        n=$((n + 1))
        [ $n -lt 200 ] || failed "waited in vain: $1"
        sleep 0.1
    done
}
# Requests one after the other, each over a connection of its own.
load() {
    touch /run/load
    : > /run/codes
    while [ -e /run/load ]; do code; done >> /run/codes &
    await '[ "$(wc -l < /run/codes)" -gt 3 ]'
}
unload() {
    before=$(wc -l < /run/codes)
    await '[ "$(wc -l < /run/codes)" -gt $((before + 3)) ]'
    rm /run/load
    wait $!
    sort -u /run/codes
}
# Whether somebody else has the place of process $1, and that one has ended.
moved() {
    await "! kill -0 $1 2> /dev/null"
    [ "$(pid)" != "$1" ] && [ -n "$(pid)" ] && echo "another process"
}

command dpkg --force-all --purge wiregate > /dev/null 2>&1
rm -f /run/asked

echo "# install"
quietly="-qq -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io -o DPkg::NoTriggers=true"
apt-get $quietly install /mnt/1.deb > /tmp/said 2>&1 || failed install
version | sed 's/ [^ ]*$/ 1/' && echo
id -nG wiregate
stat -c '%A %U %G %n' /etc/wiregate /etc/wiregate/* /var/lib/wiregate /run/wiregate | LC_ALL=C sort -k 4
readlink /etc/systemd/system/multi-user.target.wants/wiregate.service | sed "s,^/usr,,"
ls /etc/systemd/system/sockets.target.wants 2> /dev/null | grep wiregate
curl -s $url
stat -c 'runs as %U' "/proc/$(pid)"
wiregate check --config $config
man -w wiregate wiregate.yaml wiregate-upgrade wiregate-filter-jwt
for shell in bash-completion/completions zsh/vendor-completions fish/vendor_completions.d; do
    ls /usr/share/$shell/*wiregate*
done
asked

echo "# what the page about security says is done, and the service still reads its configuration"
(umask 022 && echo 'listeners: { low: { bind: "127.0.0.1:81" } }' > /etc/wiregate/conf.d/more.yaml)
zcat -f /usr/share/doc/wiregate/security.md* | grep '^find /etc/wiregate ' | sh
stat -c '%A %U %G %n' /etc/wiregate/* /etc/wiregate/conf.d/* | LC_ALL=C sort -k 4
wiregate reload --wait --config $config > /dev/null || failed reload
echo "# a port below 1024, without root"
curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:81/
rm /etc/wiregate/conf.d/more.yaml
wiregate reload --wait --config $config > /dev/null || failed reload

echo "# upgrade"
first=$(pid)
load
dpkg -i /mnt/2.deb || failed upgrade
grep -o 'has taken over' /tmp/said
moved "$first"
unload
version && echo
curl -s $url
asked

echo "# upgrade to what does not run, with a configuration of one's own"
sed -i 's/version 2 is running/mine is running/' $config
await 'curl -s $url | grep -q "mine"'
second=$(pid)
load
dpkg --force-confold -i /mnt/3.deb || failed upgrade
grep '^wiregate: \|^wrong\|^    ' /tmp/said
unload
[ "$(pid)" = "$second" ] && echo "the same process"
version && echo
curl -s $url
ls /etc/wiregate
asked

echo "# back, and it takes over"
dpkg --force-confold -i /mnt/2.deb || failed downgrade
moved "$second"
code

echo "# upgrade of a service that was stopped"
systemctl stop wiregate.service
rm /run/asked
dpkg --force-confold -i /mnt/1.deb || failed upgrade
code
asked

echo "# disabled by the administrator, it stays so; and the sockets stay enabled"
systemctl start wiregate.service
systemctl is-enabled wiregate.socket
systemctl disable wiregate.service > /dev/null 2>&1
systemctl enable wiregate.socket > /dev/null 2>&1
dpkg --force-confold -i /mnt/2.deb || failed upgrade
systemctl is-enabled wiregate.service
systemctl is-enabled wiregate.socket
systemctl enable wiregate.service > /dev/null 2>&1
systemctl is-enabled wiregate.service
rm /run/asked

echo "# remove"
dpkg -r wiregate || failed remove
code
version && echo
ls -d /usr/bin/wiregate /etc/wiregate/wiregate.yaml /var/lib/wiregate 2>&1
readlink /etc/systemd/system/wiregate.service /etc/systemd/system/wiregate.socket
asked

echo "# install anew, with the configuration that is there"
dpkg --force-confold -i /mnt/2.deb || failed reinstall
curl -s $url
systemctl is-enabled wiregate.socket
asked

echo "# purge"
echo "# mine" > /etc/wiregate/conf.d/mine.yaml
touch /var/log/wiregate/access.log /var/lib/other
dpkg -P wiregate || failed purge
grep '^wiregate: ' /tmp/said
code
version 2>&1
find /etc /usr /var /run -name '*wiregate*' ! -path '/usr/local/*' ! -path '/var/tmp/*' |
    LC_ALL=C sort
find /etc/wiregate -type f
ls /var/lib/other
getent passwd wiregate | cut -d: -f 1
