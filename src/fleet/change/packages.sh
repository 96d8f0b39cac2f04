palisade_apt=/var/lib/palisade/apt
palisade_unit=palisade-apt-$palisade_id
mkdir -p "$palisade_apt"
cat >"$palisade_apt/$palisade_id.sh" <<'END'
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l LC_ALL=C
palisade_log=$1.log
palisade_end() {
  if grep -qs '^# Written by palisade' "$palisade_policy"; then rm -f "$palisade_policy"; fi
  printf '%s\n' "$1" >"$palisade_job.exit.new"
  sync "$palisade_job.exit.new"
  mv "$palisade_job.exit.new" "$palisade_job.exit"
  exit "$1"
}
palisade_job=$1
shift
# What a package brings is started by the plan, once it is configured: a fail2ban with somebody else's settings could ban
# whoever installs it. The file says nothing any more once this unit is over, should it be left behind.
palisade_policy=/usr/sbin/policy-rc.d
if [ ! -e "$palisade_policy" ]; then
  printf '#!/bin/sh\n# Written by palisade for as long as it installs packages.\n[ "$2" = start ] && systemctl is-active --quiet %s.service && exit 101\nexit 0\n' "palisade-apt-${palisade_job##*/}" >"$palisade_policy"
  chmod 0755 "$palisade_policy"
fi
apt-get -q -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 update >"$palisade_log" 2>&1 || palisade_end 100
apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install -- "$@" >>"$palisade_log" 2>&1
palisade_end "$?"
END
palisade_install() {
  systemd-run --quiet --collect --unit="$palisade_unit" /bin/sh "$palisade_apt/$palisade_id.sh" "$palisade_apt/$palisade_id" "$@" || {
    printf '\n%s apt start-failed\n' "$palisade_nonce"
    exit 1
  }
  palisade_waited=0
  while [ ! -f "$palisade_apt/$palisade_id.exit" ] && [ "$palisade_waited" -lt 3000 ]; do
    if [ "$((palisade_waited % 20))" = 19 ] && ! systemctl is-active --quiet "$palisade_unit" && [ ! -f "$palisade_apt/$palisade_id.exit" ]; then
      printf '\n%s apt died\n' "$palisade_nonce"
      exit 1
    fi
    sleep 0.2
    palisade_waited=$((palisade_waited + 1))
  done
  printf '\n%s apt %s\n' "$palisade_nonce" "$(cat "$palisade_apt/$palisade_id.exit" 2>/dev/null || echo slow)"
  printf '\n%s audit %s\n' "$palisade_nonce" "$(dpkg --audit 2>&1 | head -n 1)"
  grep -E '^(E|W): ' "$palisade_apt/$palisade_id.log" | head -n 3 | while IFS= read -r palisade_line; do
    printf '\n%s said %s\n' "$palisade_nonce" "$palisade_line"
  done
}
