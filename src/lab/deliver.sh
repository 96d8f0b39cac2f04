# Runs in the root of a new base, and leaves it as a provider delivers a server: an account of the vendor's with
# sudo and a password, password login on, no firewall, and a program that someone left listening everywhere.
set -eu

# the vendor's account, as cloud-init makes it on Debian
useradd --create-home --uid 1000 --shell /bin/bash --comment Debian --groups adm,audio,cdrom,dialout,dip,floppy,plugdev,sudo,video debian
echo 'debian:provider' | chpasswd
printf '%s\n' '# User rules for debian' 'debian ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/90-cloud-init-users
chmod 0440 /etc/sudoers.d/90-cloud-init-users
echo 'PasswordAuthentication yes' > /etc/ssh/sshd_config.d/50-cloud-init.conf
chmod 0600 /etc/ssh/sshd_config.d/50-cloud-init.conf
rm -f /etc/ssh/ssh_host_*

# as a package that somebody made and installed: what no package brought is for tests to plant
mkdir -p /root/package/DEBIAN /root/package/usr/lib/systemd/system
printf '%s\n' 'Package: import-job' 'Version: 1.0' 'Architecture: all' 'Maintainer: somebody <somebody@example.com>' \
    'Description: the import job of years ago' > /root/package/DEBIAN/control
cat > /root/package/usr/lib/systemd/system/debug-port.service <<'UNIT'
[Unit]
Description=Debug port of the import job

[Service]
User=nobody
ExecStart=/usr/bin/nc -l -k -N 0.0.0.0 8000
Restart=always

[Install]
WantedBy=multi-user.target
UNIT
dpkg-deb --root-owner-group --build /root/package /root/package.deb >/dev/null
dpkg --install /root/package.deb >/dev/null
rm -r /root/package /root/package.deb

# packages come from the lab's own repository, which every guest finds below /srv
rm -f /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/99mmdebstrap
echo 'deb [trusted=yes] file:/srv/packages ./' > /etc/apt/sources.list

export SYSTEMD_OFFLINE=1
systemctl enable debug-port.service systemd-networkd.service
systemctl disable systemd-networkd-wait-online.service
# these would change hosts on their own, at a time of their own, in the middle of a test
systemctl mask console-getty.service
systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer
rm -f /etc/hostname /etc/machine-id /var/lib/dbus/machine-id
