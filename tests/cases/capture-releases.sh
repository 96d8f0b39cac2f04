#!/bin/sh
# Captures the cases of releases anew from two throwaway hosts, one of each distribution, as capture.sh does for other
# kinds: palisade lab up --name cases --hosts 2
#   LAB_SHELL='palisade lab shell --lab cases' tests/cases/capture-releases.sh 12 host-1 && … capture-releases.sh 13 host-2
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
d=releases/debian-$version

echo 'rm -rf /var/lib/palisade/releases' | on_host
capture "$d-none"
capture "$d-none-overdue"
capture "$d-new"
on_host <<'END'
umask 077
digest=5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
first=11111111-2222-3333-4444-555555555555 second=99999999-2222-3333-4444-555555555555
folder=/var/lib/palisade/releases/2026-11-28
mkdir -p "$folder"
{
  echo "1795899660 $first begun $digest alice 20261128t210100z-1a2b3c4d"
  echo "1795899670 $first carried"
  echo "1795899680 $first installing"
  echo "1795899740 $first installed"
  echo "1795899741 $first restarted cron.service"
  echo "1795899742 $first reboot-asked"
  echo "1795899800 $second rebooted"
  echo "1795899830 $second checked"
  echo "1795899831 $second completed"
} >"$folder/journal"
END
capture "$d-completed"
capture "$d-completed-overdue"
capture "$d-silent" /usr/bin/base64
on_host <<'END'
umask 077
cd /var/lib/palisade/releases
mkdir 2026-12-03-emergency
sed '1a1795899661 11111111-2222-3333-4444-555555555555 emergency CVE-2026-1234 in openssl is exploited' \
  2026-11-28/journal >2026-12-03-emergency/journal
END
capture "$d-emergency"
on_host <<'END'
cd /var/lib/palisade/releases
rm -r 2026-12-03-emergency
cp 2026-11-28/journal /var/lib/whole.case
{ sed 3q /var/lib/whole.case; echo '1795899700 11111111-2222-3333-4444-555555555555 failed disk-full no space left in /var/cache/apt'; } >2026-11-28/journal
END
capture "$d-failed"
on_host <<'END'
cd /var/lib/palisade/releases
head -c -6 /var/lib/whole.case >2026-11-28/journal
END
capture "$d-torn"
on_host <<'END'
cd /var/lib/palisade/releases
sed '/ checked$/d' /var/lib/whole.case >2026-11-28/journal
END
capture "$d-edited"
on_host <<'END'
cd /var/lib/palisade/releases
cp /var/lib/whole.case 2026-11-28/journal
mkdir lost+found
END
capture "$d-foreign"
echo 'rm -rf /var/lib/palisade/releases /var/lib/whole.case' | on_host
