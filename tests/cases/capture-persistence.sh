#!/bin/sh
# Captures the cases of persistence anew from two throwaway hosts, one of each distribution, as capture.sh does for other kinds:
#   palisade lab up --name cases --hosts 2
#   LAB_SHELL='palisade lab shell --lab cases' tests/cases/capture-persistence.sh 12 host-1 && … capture-persistence.sh 13 host-2
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

capture "persistence/$d-delivered"
capture "persistence/$d-silent" /usr/bin/dpkg-query
on_host <<'END'
mkdir -p /etc/cron.d /etc/systemd/system-generators /var/lib/systemd/linger /etc/udev/rules.d
printf '* * * * * root true\n' >/etc/cron.d/stay
printf '[Service]\nExecStart=/bin/true\n' >/etc/systemd/system/stay.service
printf '#!/bin/sh\n' >/etc/systemd/system-generators/stay
ln -s /opt/stay.service /etc/systemd/system/multi-user.target.wants/gone.service
ln -s /etc/systemd/system/stay.service /etc/systemd/system/multi-user.target.wants/stay.service
ln -s /dev/null /etc/systemd/system/masked.service
: >/var/lib/systemd/linger/debian
echo '# stay' >>/usr/lib/systemd/system/ssh.service
echo '# stay' >/etc/udev/rules.d/99-stay.rules
echo : >/etc/profile.d/stay.sh
echo 'session optional pam_exec.so /bin/true' >>/etc/pam.d/common-session
echo '# stay' >>/etc/pam.d/sshd
: >/etc/ld.so.preload
echo 'DPkg::Post-Invoke {"true";};' >/etc/apt/apt.conf.d/99stay
echo '// Invoke nothing' >/etc/apt/apt.conf.d/99calm
install -d -o debian -g debian /home/debian/.config /home/debian/.config/systemd /home/debian/.config/systemd/user
echo >"/home/debian/.config/systemd/user/a name.service"
END
capture "persistence/$d-planted"
on_host <<'END'
rm -r /etc/cron.d/stay /etc/systemd/system/stay.service /etc/systemd/system-generators/stay /etc/systemd/system/masked.service
rm /etc/systemd/system/multi-user.target.wants/gone.service /etc/systemd/system/multi-user.target.wants/stay.service
rm -r /var/lib/systemd/linger/debian /etc/udev/rules.d/99-stay.rules /etc/profile.d/stay.sh /etc/ld.so.preload /etc/apt/apt.conf.d/99stay
rm -r /etc/apt/apt.conf.d/99calm /home/debian/.config
sed -i '$d' /usr/lib/systemd/system/ssh.service /etc/pam.d/common-session /etc/pam.d/sshd
END
