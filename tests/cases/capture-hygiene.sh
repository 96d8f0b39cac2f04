#!/bin/sh
# Captures the cases of updates, sources and permissions anew from two throwaway hosts, one of each distribution, as
# capture.sh does for other kinds: palisade lab up --name cases --hosts 2
#   LAB_SHELL='palisade lab shell --lab cases' tests/cases/capture-hygiene.sh 12 host-1 && … capture-hygiene.sh 13 host-2
# The host needs the archive's indexes in /var/lib/cases: copied from the /var/lib/apt/lists of a machine that fetched
# those of main and of the security archive.
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
as_nobody="{ echo 'setpriv --reuid=65534 --regid=65534 --clear-groups sh -s <<\\PALISADE_END'; cat; echo; echo PALISADE_END; } | $via"
d=debian-$version
suite=$([ "$version" = 12 ] && echo bookworm || echo trixie)

capture "updates/$d-delivered"
capture "sources/$d-delivered"
capture "permissions/$d-delivered"
capture "permissions/$d-silent" /usr/bin/find
PALISADE_TEST_ROLE=capture PALISADE_CASE=permissions/$d-unprivileged PALISADE_VIA=$as_nobody cargo test -q --test pure >/dev/null
on_host <<'END'
cp /bin/true '/opt/lends rights'; chmod 4755 '/opt/lends rights'
chmod u+s /usr/bin/base64
# setxattr(2), since setcap need not be there: cap_setuid, and cap_net_raw, effective
setcap() { perl -e 'my ($path, $bit, $number) = @ARGV; my $name = "security.capability"; my $held = pack("V5", 0x02000001, 1 << $bit, 0, 0, 0); syscall($number + 0, $path, $name, $held, 20, 0) && die $!' "$1" "$2" "$([ "$(uname -m)" = x86_64 ] && echo 188 || echo 5)"; }
setcap /usr/bin/base32 7
cp /bin/true /usr/local/bin/listens; setcap /usr/local/bin/listens 13
dpkg-divert --local --rename --add /usr/bin/expiry >/dev/null; cp /bin/true /usr/bin/expiry; chmod 4755 /usr/bin/expiry
cp -a /usr/bin/chfn /usr/bin/chfn.kept; printf 'x' >>/usr/bin/chfn; chmod 4755 /usr/bin/chfn
touch /etc/open; chmod 666 /etc/open; mkdir -p /srv/open; chmod 777 /srv/open
chmod 755 /usr/bin/chfn.kept
END
capture "permissions/$d-opened"
on_host <<'END'
mv /usr/bin/chfn.kept /usr/bin/chfn; chmod 4755 /usr/bin/chfn
chmod u-s /usr/bin/base64
cp /usr/bin/base32 /usr/bin/base32.plain; mv /usr/bin/base32.plain /usr/bin/base32
rm /usr/local/bin/listens /usr/bin/expiry; dpkg-divert --local --rename --remove /usr/bin/expiry >/dev/null
rm -r '/opt/lends rights' /etc/open /srv/open
cp -a /var/lib/apt/lists /var/lib/lists.kept; cp -a /etc/apt/sources.list /var/lib/sources.kept
rm -rf /var/lib/apt/lists/*; mkdir -p /var/lib/apt/lists/partial
END
{
  echo "cat >/etc/apt/sources.list <<'LIST'"
  echo "deb http://deb.debian.org/debian $suite main"
  echo "deb http://deb.debian.org/debian-security $suite-security main"
  echo LIST
} | on_host
capture "updates/$d-never-fetched"
capture "sources/$d-never-fetched"
echo 'cp -a /var/lib/cases/*_dists_* /var/lib/apt/lists/; rm -f /var/lib/apt/lists/*-updates*' | on_host
capture "updates/$d-fetched"
capture "updates/$d-stale"
# As on the day before they came: an index of the security archive without them.
on_host <<'END'
apt-get -s -q dist-upgrade | sed -n '/-security/s/^Inst \([^ ]*\) .*/\1/p' >/var/lib/new.case
for list in /var/lib/apt/lists/*-security_main_binary-*_Packages.lz4; do
  /usr/lib/apt/apt-helper cat-file "$list" >/var/lib/list.case
  awk 'BEGIN { while ((getline name <"/var/lib/new.case") > 0) new["Package: " name] = 1; RS = ""; ORS = "\n\n"; FS = "\n" } !($1 in new)' \
    /var/lib/list.case >"${list%.lz4}"
  rm "$list" /var/lib/list.case
done
END
capture "updates/$d-installed"
echo 'rm -f /var/lib/apt/lists/*-security_main*; cp -a /var/lib/cases/*-security_dists_* /var/lib/apt/lists/; rm /var/lib/new.case' | on_host
capture "updates/$d-silent-apt" /usr/bin/apt-get
capture "updates/$d-silent-dpkg" /usr/bin/dpkg-query
capture "sources/$d-fetched"
capture "sources/$d-undeclared"
capture "sources/$d-silent" /usr/bin/apt-get
on_host <<'END'
apt-mark -q hold openssh-server
printf 'Package: palisade-case\nStatus: install ok half-configured\nPriority: optional\nSection: misc\nMaintainer: Nobody <nobody@example.com>\nArchitecture: all\nVersion: 1\nDescription: a case\n\n' >>/var/lib/dpkg/status
echo 'Acquire::AllowInsecureRepositories "true";' >/etc/apt/apt.conf.d/99case
sed -i 's/^deb http.*-security /deb [trusted=yes] &/; s/\[trusted=yes\] deb/[trusted=yes]/' /etc/apt/sources.list
END
capture "updates/$d-held-and-broken"
capture "sources/$d-unsigned"
on_host <<'END'
sed -i '/^Package: palisade-case/,/^$/{s/^Version: 1$/&\nDepends: palisade-lacks/; s/half-configured/installed/}' /var/lib/dpkg/status
END
capture "updates/$d-unmet"
on_host <<'END'
apt-mark -q unhold openssh-server
cp /var/lib/dpkg/status /var/lib/dpkg/status.case
sed '/^Package: palisade-case$/,/^$/d' /var/lib/dpkg/status.case >/var/lib/dpkg/status
rm /etc/apt/apt.conf.d/99case /var/lib/dpkg/status.case
rm -rf /var/lib/apt/lists; mv /var/lib/lists.kept /var/lib/apt/lists; mv /var/lib/sources.kept /etc/apt/sources.list
END
