#!/bin/sh
# Captures the cases of allowlist, exposure and separation anew from two throwaway hosts, one of each distribution, as
# capture.sh does for other kinds: palisade lab up --name cases --hosts 2
#   LAB_SHELL='palisade lab shell --lab cases' tests/cases/capture-reach.sh 12 host-1 && … capture-reach.sh 13 host-2
set -eu
cd "$(dirname "$0")/../.."
version=$1 host=$2
via="$LAB_SHELL $host -- env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C sh -s"
on_host() { $via >/dev/null; }
capture() { # case, what the host runs first in the question's own mount namespace
  echo "tests/cases/$1.yaml"
  way=$via
  if [ $# -gt 1 ]; then
    way="$LAB_SHELL $host -- unshare -m --propagation private env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C sh -c '$2 && exec sh -s'"
  fi
  PALISADE_TEST_ROLE=capture PALISADE_CASE=$1 PALISADE_VIA=$way cargo test -q --test pure >/dev/null
}
load() { # rules to add to the input chain
  {
    echo 'nft -f - <<\END'
    sed -n '/^table/,$p' src/kinds/firewall/ruleset/example.nft |
      sed '/tcp dport 443/d; /web\/https/s/10\.20\.0\.0\/24 tcp dport 5432/{ 198.51.100.10, 198.51.100.11 } tcp dport 8443/; s/web\/https/admin-ui\/console/'
    echo END
    if [ -n "$1" ]; then printf 'nft insert rule inet palisade input %s\n' "$1"; fi
  } | on_host
}

d=debian-$version
echo 'DEBIAN_FRONTEND=noninteractive apt-get -y -qq purge nftables 2>/dev/null || true' | on_host
capture "allowlist/$d-no-nft"
echo 'apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -y -qq install nftables; nft flush ruleset' | on_host
capture "allowlist/$d-no-table"
load ''
capture "allowlist/$d-as-declared"
capture "allowlist/$d-silent" 'mount --bind /bin/true /usr/sbin/nft'
capture "exposure/$d-private"
capture "exposure/$d-public"
capture "exposure/$d-silent-ip" 'mount --bind /bin/true /usr/bin/ip'
load 'tcp dport 8443 accept'
capture "allowlist/$d-opened"
capture "exposure/$d-opened"
load 'ip saddr 198.51.100.77 tcp dport 8000-9000 accept'
capture "allowlist/$d-stranger"
load 'ip saddr @theirs tcp dport 8443 accept' 2>/dev/null || true
load 'tcp flags syn tcp dport 8443 accept'
capture "allowlist/$d-strange"
load ''
on_host <<'END'
ip link add br-test type bridge
ip address add 172.18.0.1/16 dev br-test
ip route add default dev priv0
nft -f - <<RULES
table ip nat {
  chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; tcp dport 5433 dnat to 10.20.0.5:5432; }
}
RULES
END
capture "exposure/$d-routed"
capture "exposure/$d-passes-on"
on_host <<'END'
ip link delete br-test
ip route delete default dev priv0
nft flush ruleset
mkdir -p /etc/palisade /etc/ssh/authorized_keys.d
printf 'test\n' >/etc/palisade/environment
printf 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL9Np9m2e/kS6UGsJZJQMj/BssdcKUj0MLjJFrY//F+h ci-prod@example.com\n' >/etc/ssh/authorized_keys.d/ci
END
capture "separation/$d-apart"
capture "separation/$d-shared"
capture "separation/$d-silent" 'mount --bind /bin/true /usr/bin/cat'
capture "separation/$d-no-keys" 'mount --bind /bin/true /usr/bin/sed'
echo 'rm -rf /etc/palisade /etc/ssh/authorized_keys.d/ci' | on_host
