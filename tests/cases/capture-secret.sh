#!/bin/sh
# Captures the cases of secret anew from two throwaway hosts, one of each distribution:
#   palisade lab up --name cases --hosts 2
#   LAB_SHELL='palisade lab shell --lab cases' tests/cases/capture-secret.sh 12 host-1 && … capture-secret.sh 13 host-2
# It writes expectations too: read the diff before committing it.
set -eu
cd "$(dirname "$0")/../.."
version=$1 host=$2
via="$LAB_SHELL $host -- env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C sh -s"
silent="$LAB_SHELL $host -- env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C unshare -m --propagation private sh -c 'mount --bind /bin/true /usr/bin/sha256sum && exec sh -s'"

$via <<'END'
umask 077
mkdir -p /etc/lab-app
chmod 0755 /etc/lab-app
printf 'as declared\n' >/etc/lab-app/key
chown www-data:root /etc/lab-app/key
ln -sf /etc/lab-app/key /etc/lab-app/link
END
for file in tests/cases/secret/debian-"$version"-*.yaml; do
  case=${file#tests/cases/}
  case $case in *silent*) way=$silent ;; *) way=$via ;; esac
  case $case in
  *other-value*) echo 'chmod 0644 /etc/lab-app/key' | $via ;;
  *) echo 'chmod 0600 /etc/lab-app/key' | $via ;;
  esac
  echo "$file"
  PALISADE_TEST_ROLE=capture PALISADE_CASE=${case%.yaml} PALISADE_VIA=$way cargo test -q --test pure >/dev/null
done
