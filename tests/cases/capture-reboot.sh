#!/bin/sh
# Captures the cases of updates that are about reboots, anew from two throwaway machines with kernels of their own:
#   palisade lab up --vm --name cases --hosts 2
#   LAB_SHELL='palisade lab shell --lab cases' tests/cases/capture-reboot.sh 12 host-1 && … capture-reboot.sh 13 host-2
# The machine needs the archive's indexes in /var/lib/cases, as for capture-hygiene.sh.
set -eu
cd "$(dirname "$0")/../.."
version=$1 host=$2
suite=$([ "$version" = 12 ] && echo bookworm || echo trixie)
via="$LAB_SHELL $host -- env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C sh -s"
on_host() { $via >/dev/null; }
capture() { # case, way
  echo "tests/cases/updates/debian-$version-$1.yaml"
  PALISADE_TEST_ROLE=capture PALISADE_CASE=updates/debian-$version-$1 PALISADE_VIA=${2:-$via} ${CAPTURE:-cargo test -q --test pure} >/dev/null
}
{
  echo "cat >/etc/apt/sources.list <<'LIST'"
  echo "deb http://deb.debian.org/debian $suite main"
  echo "deb http://deb.debian.org/debian-security $suite-security main"
  echo LIST
} | on_host
# As on the day before they came: an index of the security archive without what is newer than here.
on_host <<'END'
rm -rf /etc/apt/sources.list.d/* /var/lib/apt/lists/*; mkdir -p /var/lib/apt/lists/partial; cp -a /var/lib/cases/*_dists_* /var/lib/apt/lists/
apt-get -s -q dist-upgrade | sed -n '/-security/s/^Inst \([^ ]*\) .*/\1/p' >/var/lib/new.case
for list in /var/lib/apt/lists/*-security_main_binary-*_Packages.lz4; do
  /usr/lib/apt/apt-helper cat-file "$list" >/var/lib/list.case
  awk 'BEGIN { while ((getline name <"/var/lib/new.case") > 0) new["Package: " name] = 1; RS = ""; ORS = "\n\n"; FS = "\n" } !($1 in new)' \
    /var/lib/list.case >"${list%.lz4}"
  rm "$list" /var/lib/list.case
done
rm -f /run/reboot-required
END
capture reboot-not-due
echo 'cp /boot/vmlinuz-"$(uname -r)" /boot/vmlinuz-99.1.0-1-cloud-amd64' | on_host
capture reboot-newer-kernel
echo 'rm /boot/vmlinuz-99.1.0-1-cloud-amd64; echo "*** System restart required ***" >/run/reboot-required' | on_host
capture reboot-asked
echo 'rm /run/reboot-required; cp /usr/bin/sleep /usr/lib/palisade-case; systemd-run -q --unit=palisade-case /usr/lib/palisade-case 7200; sleep 2; rm /usr/lib/palisade-case' | on_host
capture reboot-old-code
echo 'systemctl stop palisade-case' | on_host
capture reboot-silent-uname "$LAB_SHELL $host -- unshare -m --propagation private env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C sh -c 'mount --bind /bin/true /usr/bin/uname && exec sh -s'"
