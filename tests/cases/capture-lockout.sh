#!/bin/sh
# Captures the cases of lockout anew from two throwaway hosts of one distribution: one that has the built-in playbook applied
# and blocks somebody, and one as it was delivered.
#   LAB_SHELL='palisade lab shell --lab cases' tests/cases/capture-lockout.sh 12 applied delivered
# It writes expectations too: read the diff before committing it.
set -eu
cd "$(dirname "$0")/../.."
version=$1 applied=$2 delivered=$3
shell="env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C sh -s"
via="$LAB_SHELL $applied -- $shell"

on_host() { $via >/dev/null; }
capture() { # name, about, way
  file=tests/cases/lockout/debian-$version-$1.yaml
  {
    printf 'about: %s\nspec:\n  lockout:\n    attempts: 5\n    management: ["198.51.100.10", "2001:db8::10"]\n    table: |\n' "$2"
    sed 's/^\(..*\)$/      \1/' src/kinds/lockout/example.nft
    printf 'source: debian-%s\nnow: 2026-11-28T22:00:00Z\n' "$version"
  } >"$file"
  PALISADE_TEST_ROLE=capture PALISADE_CASE=lockout/debian-$version-$1 PALISADE_VIA=$3 cargo test -q --test pure >/dev/null
  echo "$file"
}
bound() { # program to put in the place of another
  printf "%s" "$LAB_SHELL $applied -- env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C unshare -m --propagation private sh -c 'mount --bind $1 $2 && exec sh -s'"
}

# The addresses of the cases in the place of the lab's.
{
  echo 'umask 077; cat >/etc/palisade/bans.nft <<\END'
  cat src/kinds/lockout/example.nft
  echo END
  echo "sed -i 's/^ignoreip = .*/ignoreip = 198.51.100.10 2001:db8::10/' /etc/fail2ban/jail.d/zz-palisade.local"
  echo "sed -i 's/^PerSourcePenaltyExemptList .*/PerSourcePenaltyExemptList 198.51.100.10,2001:db8::10/' /etc/ssh/sshd_config.d/00-palisade-lockout.conf"
  echo 'systemctl reload ssh; systemctl restart fail2ban; until fail2ban-client status sshd >/dev/null 2>&1; do sleep 0.1; done'
  echo 'fail2ban-client set sshd banip 203.0.113.7; fail2ban-client set sshd banip 2001:db8:66:1; sleep 2'
} | on_host
capture as-declared 'all parts in place, and two are blocked' "$via"
echo 'nft delete element inet palisade-bans ban4 "{ 203.0.113.7 }"; nft delete element inet palisade-bans ban6 "{ 2001:db8:66:1::/64 }"' | on_host
capture not-dropped 'the sets were emptied by hand, and fail2ban knows nothing of it' "$via"
echo 'nft delete table inet palisade-bans' | on_host
capture no-table 'somebody flushed every table' "$via"
echo 'systemctl restart fail2ban; until fail2ban-client status sshd >/dev/null 2>&1; do sleep 0.1; done; sleep 2
nft insert rule inet palisade-bans input ip saddr 203.0.113.66 accept; nft add element inet palisade-bans management4 "{ 203.0.113.66 }"
fail2ban-client set sshd maxretry 100; fail2ban-client set sshd addignoreip 203.0.113.66; fail2ban-client set sshd delignoreip 198.51.100.10' | on_host
capture by-hand 'somebody let an address of his own in, in each layer' "$via"
echo 'systemctl restart fail2ban; until fail2ban-client status sshd >/dev/null 2>&1; do sleep 0.1; done; sleep 2; systemctl stop fail2ban' | on_host
capture stopped 'fail2ban was stopped' "$via"
echo 'systemctl start fail2ban; until fail2ban-client status sshd >/dev/null 2>&1; do sleep 0.1; done
sed -i s/VERBOSE/INFO/ /etc/ssh/sshd_config.d/00-palisade-lockout.conf; sed -i "s/^PerSourcePenaltyExemptList .*//" /etc/ssh/sshd_config.d/00-palisade-lockout.conf
printf "[sshd]\nmaxretry = 50\n" >/etc/fail2ban/jail.d/zzz.local; systemctl reload ssh
fail2ban-client reload sshd; sleep 2' | on_host
capture later-file 'a later file sets the jail, and sshd writes less down' "$via"
echo 'rm /etc/fail2ban/jail.d/zzz.local; systemctl restart fail2ban; until fail2ban-client status sshd >/dev/null 2>&1; do sleep 0.1; done; sleep 2' | on_host
capture silent-nft 'an nft that says nothing and exits 0' "$(bound /bin/true /usr/sbin/nft)"
capture silent-fail2ban 'a fail2ban-client that says nothing and exits 0' "$(bound /bin/true /usr/bin/fail2ban-client)"
capture silent-sshd 'an sshd that says nothing and exits 0' "$(bound /bin/true /usr/sbin/sshd)"
capture unprivileged 'asked without privilege' "{ echo 'setpriv --reuid=65534 --regid=65534 --clear-groups sh -s <<\\PALISADE_END'; cat; echo; echo PALISADE_END; } | $via"
capture delivered 'a host as a provider delivers it' "$LAB_SHELL $delivered -- $shell"
