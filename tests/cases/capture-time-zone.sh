#!/bin/sh
# Captures the cases of time-zone anew from two throwaway hosts, one of each distribution, as capture.sh does for other
# kinds: palisade lab up --name cases --hosts 2
#   LAB_SHELL='palisade lab shell --lab cases' tests/cases/capture-time-zone.sh 12 host-1 && … capture-time-zone.sh 13 host-2
set -eu
cd "$(dirname "$0")/../.."
version=$1 host=$2
via="$LAB_SHELL $host -- env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C sh -s"
on_host() { $via >/dev/null; }
capture() { # case
  echo "tests/cases/$1.yaml"
  PALISADE_TEST_ROLE=capture PALISADE_CASE=$1 PALISADE_VIA=$via cargo test -q --test pure >/dev/null
}
d=time-zone/debian-$version
zones=/usr/share/zoneinfo
capture "$d-delivered"
capture "$d-not-the-declared"
echo "ln -sf $zones/UTC /etc/localtime" | on_host
capture "$d-another-name"
echo "ln -sf $zones/Europe/Paris /etc/localtime; echo Europe/Paris >/etc/timezone" | on_host
capture "$d-other"
echo "cp --remove-destination $zones/Etc/UTC /etc/localtime; echo Etc/UTC >/etc/timezone" | on_host
capture "$d-copied"
echo 'rm /etc/localtime' | on_host
capture "$d-missing"
capture "$d-missing-not-utc"
echo 'mkdir /etc/localtime' | on_host
capture "$d-directory"
echo "rmdir /etc/localtime; ln -s $zones/Etc/UTC /etc/localtime" | on_host
if [ "$version" = 13 ]; then
  echo 'rm /etc/timezone' | on_host
  capture "$d-not-known"
fi
