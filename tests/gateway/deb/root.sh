# Makes a root of its own out of this machine's, whose changes are in memory, and runs steps.sh in it.
# FOLDER has 1.deb; SCRIPTS is where this file is. All of it ends with the namespaces.
set -eu

# The next versions: 2 has another configuration, 3 as well, and a program that does not run.
cd "$FOLDER"
dpkg-deb --raw-extract 1.deb 2
sed -i 's/^Version: .*/Version: 2.0-1/' 2/DEBIAN/control
sed -i 's/wiregate is running/version 2 is running/' 2/etc/wiregate/wiregate.yaml
dpkg-deb --root-owner-group -Znone --build 2 2.deb > /dev/null
mv 2 3
sed -i 's/^Version: .*/Version: 3.0-1/' 3/DEBIAN/control
sed -i 's/version 2 is running/version 3 is running/' 3/etc/wiregate/wiregate.yaml
mv 3/usr/bin/wiregate 3/usr/bin/wiregate-that-runs
cat > 3/usr/bin/wiregate << 'END'
#!/bin/sh
[ "$1" != run ] || { echo "version 3 does not run" >&2; exit 78; }
exec /usr/bin/wiregate-that-runs "$@"
END
chmod 755 3/usr/bin/wiregate
dpkg-deb --root-owner-group -Znone --build 3 3.deb > /dev/null
rm -r 3

mount --make-rprivate /
mkdir root over
mount -t tmpfs -o mode=755 over over
mkdir over/upper over/work
mount -t overlay overlay -o lowerdir=/,upperdir=over/upper,workdir=over/work root
mount -t proc proc root/proc
mount --bind /dev root/dev
mount -t tmpfs -o mode=755 run root/run
mount -t tmpfs -o mode=1777 tmp root/tmp
mount --bind "$FOLDER" root/mnt
# Nothing of the machine's own is in the way, and there is a systemd of sorts.
rm -f root/usr/sbin/policy-rc.d
rm -f root/etc/dpkg/dpkg.cfg.d/* # images of containers leave out manual pages
mv root/usr/bin/systemctl root/usr/bin/systemctl-of-systemd
cp "$SCRIPTS/systemctl.sh" root/usr/bin/systemctl
cp "$SCRIPTS/steps.sh" root/tmp/steps.sh
chmod 755 root/usr/bin/systemctl
mkdir -p root/run/systemd/system
# 127.0.0.1, in a network of its own: SIOCSIFFLAGS with IFF_UP.
perl -e 'socket(S, 2, 2, 0) or die $!; $up = pack("a16sx22", "lo", 1); ioctl(S, 0x8914, $up) or die $!'
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    chroot root sh /tmp/steps.sh
