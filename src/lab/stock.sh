# Runs in the root of a base whose hosts begin with the packages "$@", which palisade installs. The lab's repository is
# there until it ends. None of the packages has begun to work: they are as on a host where somebody stopped them.
set -eu
export DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1
apt-get -q -y -o APT::Sandbox::User=root update
apt-get -q -y -o APT::Sandbox::User=root install --no-install-recommends "$@"
systemctl disable nftables.service fail2ban.service
apt-get clean
rm -rf /srv/packages /var/lib/apt/lists/*
