#!/bin/sh
# Captures the cases of mounts, and those of modules that containers have, anew from two throwaway hosts, one of each
# distribution, as capture.sh does for other kinds: palisade lab up --name cases --hosts 2
#   LAB_SHELL='palisade lab shell --lab cases' tests/cases/capture-mounts.sh 12 host-1 && … capture-mounts.sh 13 host-2
# The other cases of modules are from machines: palisade lab up --vm --name machines --hosts 2
#   LAB_SHELL='palisade lab shell --lab machines' tests/cases/capture-mounts.sh 12 host-1 machine && …
set -eu
cd "$(dirname "$0")/../.."
version=$1 host=$2
via="$LAB_SHELL $host -- env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C sh -s"
on_host() { $via >/dev/null; }
capture() { # case, program that says nothing
  echo "tests/cases/$1.yaml"
  way=$via
  if [ $# -gt 1 ]; then
    way="$LAB_SHELL $host -- unshare -m --propagation private env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C sh -c 'mount --bind /bin/true $2 && exec sh -s'"
  fi
  PALISADE_TEST_ROLE=capture PALISADE_CASE=$1 PALISADE_VIA=$way cargo test -q --test pure >/dev/null
}
d=debian-$version
if [ "${3:-}" = machine ]; then
  echo 'rm -f /etc/modprobe.d/palisade.conf /etc/modprobe.d/aa-theirs.conf' | on_host
  capture "modules/$d-delivered"
  capture "modules/$d-silent-modprobe" /usr/sbin/modprobe
  kept_out() { # modules
    printf '%s\n' 'cat >/etc/modprobe.d/palisade.conf <<END' \
      '# Written by palisade: modules that this host never loads. Whoever asks for one gets none.' \
      "install $1 /bin/false" "install $2 /bin/false" END | on_host
  }
  kept_out dccp rds
  capture "modules/$d-as-declared"
  echo "echo 'install rds /sbin/modprobe --ignore-install rds' >/etc/modprobe.d/aa-theirs.conf" | on_host
  capture "modules/$d-read-before"
  # This one stays until the machine is started anew.
  echo 'rm /etc/modprobe.d/palisade.conf /etc/modprobe.d/aa-theirs.conf; modprobe sctp' | on_host
  kept_out dccp sctp
  capture "modules/$d-loaded"
  echo 'rm /etc/modprobe.d/palisade.conf' | on_host
  exit
fi
capture "modules/$d-container"
capture "mounts/$d-delivered"
capture "mounts/$d-none"
capture "mounts/$d-silent" /usr/bin/cat
echo 'for path in /var/tmp /dev/shm /dev/shm; do mount -t tmpfs -o suid,dev,mode=1777 none $path; done' | on_host
capture "mounts/$d-opened"
echo 'umount /var/tmp /dev/shm; umount /dev/shm' | on_host
