#!/bin/sh
# Captures the cases of package, file, service, user, group, sockets and nftables anew from two throwaway hosts, one of each
# distribution: palisade lab up --name cases --hosts 2
#   LAB_SHELL='palisade lab shell --lab cases' tests/cases/capture.sh 12 host-1 && … capture.sh 13 host-2
# It writes expectations too: read the diff before committing it.
set -eu
cd "$(dirname "$0")/../.."
version=$1 host=$2
via="$LAB_SHELL $host -- env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C sh -s"
rules=src/kinds/firewall/ruleset/example.nft

on_host() { $via >/dev/null; }
capture() { # case, way
  echo "tests/cases/$1.yaml"
  PALISADE_TEST_ROLE=capture PALISADE_CASE=$1 PALISADE_VIA=$2 cargo test -q --test pure >/dev/null
}
again() { # cases, as they stand in the folder
  for file in tests/cases/$1.yaml; do
    name=${file#tests/cases/}
    capture "${name%.yaml}" "${2:-$via}"
  done
}
as_nobody="{ echo 'setpriv --reuid=65534 --regid=65534 --clear-groups sh -s <<\\PALISADE_END'; cat; echo; echo PALISADE_END; } | $via"

on_host <<'END'
exists() { getent passwd -- "$1" >/dev/null; }
exists mallory || useradd -m -s /bin/bash mallory
exists toor || useradd -o -u 0 -g 0 -M -d /root -s /bin/bash toor
exists backupper || { useradd -r -s /bin/bash backupper; echo backupper:x1 | chpasswd; }
exists alice || useradd -m -s /bin/bash alice
exists erin || { useradd -m -s /bin/bash erin; usermod -L -e 1 erin; }
systemctl mask -q e2scrub_all.timer
address=$(ip -4 -o address show scope global | awk '{ sub("/.*", "", $4); print $4; exit }')
systemctl restart debug-port.service
sleep 1
systemctl stop -q busy peer 2>/dev/null || true
systemd-run -q --unit=busy /bin/sh -c "sleep 36000 | nc -l -k 0.0.0.0 8001"
sleep 1
systemd-run -q --unit=peer /bin/sh -c "sleep 36000 | nc $address 8001"
sleep 1
END
on_host <<'END'
printf 'edited by hand\n' >/etc/palisade-case
chmod 0644 /etc/palisade-case
chown debian: /etc/palisade-case
ln -sf /etc/palisade-case /etc/palisade-link
apt-get -qq update
export DEBIAN_FRONTEND=noninteractive
apt-get -y -qq install nftables
apt-get -y -qq remove nftables
END
for case in package file service user group sockets; do
  for file in tests/cases/$case/debian-$version-*.yaml; do
    case $file in *unprivileged*) capture "$case/$(basename "$file" .yaml)" "$as_nobody" ;;
    *) capture "$case/$(basename "$file" .yaml)" "$via" ;;
    esac
  done
done

echo 'rm -rf /etc/palisade; DEBIAN_FRONTEND=noninteractive apt-get -y -qq purge nftables' | on_host
again "nftables/debian-$version-no-nft"
on_host <<'END'
printf '#!/bin/sh\nexit 0\n' >/usr/sbin/nft
chmod 755 /usr/sbin/nft
END
again "nftables/debian-$version-silent"
echo 'rm /usr/sbin/nft; apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -y -qq install nftables' | on_host
again "nftables/debian-$version-none"
{
  echo 'mkdir -p /etc/palisade; umask 077; cat >/etc/palisade/firewall.nft <<\END'
  cat "$rules"
  printf 'END\nnft -f /etc/palisade/firewall.nft\n'
} | on_host
again "nftables/debian-$version-loaded"
again "nftables/debian-$version-unprivileged" "$as_nobody"
on_host <<'END'
nft -f - <<RULES
table ip filter {
  chain INPUT { type filter hook input priority 0; policy drop; }
  chain DOCKER { }
}
table inet f2b-table {
  chain f2b-chain { type filter hook input priority -1; policy accept; }
}
RULES
END
again "nftables/debian-$version-others"
{
  echo 'nft flush ruleset; nft -f - <<\END;'
  sed 's/198.51.100.10, 198.51.100.11/198.51.100.10, 198.51.100.99/; /fe80/d' "$rules"
  printf 'END\nnft insert rule inet palisade input tcp dport 8000 accept\n'
} | on_host
again "nftables/debian-$version-other-rules"
echo 'nft flush ruleset; rm -rf /etc/palisade' | on_host

# What Docker, ufw and another team make of ports that are declared, in the lines that their programs write.
{
  echo 'umask 077; mkdir -p /etc/palisade; cat >/etc/palisade/firewall.nft <<\END'
  cat "$rules"
  printf 'END\nnft -f /etc/palisade/firewall.nft\n'
} | on_host
on_host <<'END'
nft -f - <<RULES
table ip nat {
	chain DOCKER {
		iifname "docker0" counter packets 0 bytes 0 return
		iifname != "docker0" tcp dport 443 counter packets 0 bytes 0 dnat to 172.17.0.2:8443
		iifname != "docker0" tcp dport 8090 counter packets 0 bytes 0 dnat to 172.17.0.3:80
	}
	chain PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local counter packets 0 bytes 0 jump DOCKER
	}
}
table inet filter {
	chain input {
		type filter hook input priority filter; policy accept;
		jump theirs
	}
	chain theirs {
		tcp dport 9100 reject
		ip saddr 203.0.113.0/24 tcp dport 443 drop
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		drop
	}
}
RULES
END
again "nftables/debian-$version-docker"
echo 'nft delete table ip nat; nft delete table inet filter' | on_host
on_host <<'END'
nft -f - <<RULES
table ip filter {
	chain ufw-before-input {
		ct state invalid counter packets 0 bytes 0 drop
	}
	chain ufw-user-input {
		tcp dport 22 counter packets 0 bytes 0 accept
	}
	chain INPUT {
		type filter hook input priority filter; policy drop;
		counter packets 0 bytes 0 jump ufw-before-input
		counter packets 0 bytes 0 jump ufw-user-input
	}
}
RULES
END
again "nftables/debian-$version-ufw"
echo 'nft flush ruleset; rm -rf /etc/palisade' | on_host
