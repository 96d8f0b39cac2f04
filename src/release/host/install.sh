# Installs what was approved and nothing else, restarts what still runs replaced files, and says whether a reboot is asked
# for. It may be killed anywhere, and is run again from its beginning. At boot, where the host went down in the middle, it
# puts the packages in order, and installs nothing.
palisade_use "$1"
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l APT_LISTCHANGES_FRONTEND=none LC_ALL=C
umask 022
# Whoever shuts the host down in an orderly way waits for dpkg to finish (TimeoutStopSec of the unit).
trap '' HUP INT TERM

# apt's own timers would take the locks in the middle. The ones that ran are started again at the end, whatever it is; after
# a reboot they start by themselves.
palisade_still() {
  for palisade_timer in apt-daily.timer apt-daily-upgrade.timer; do
    if systemctl is-active --quiet "$palisade_timer"; then
      printf '%s\n' "$palisade_timer" >>"$palisade_folder/timers"
      systemctl stop "$palisade_timer"
    fi
  done
}
palisade_moving() {
  [ -e "$palisade_folder/timers" ] || return 0
  sort -u "$palisade_folder/timers" | while read -r palisade_timer; do systemctl start "$palisade_timer"; done
  rm -f "$palisade_folder/timers"
}

# What puts the packages in order at boot, for as long as it may be needed. It has the name of the unit that installs, so
# that whoever looks for that finds it; it is at work before anybody can log in, and keeps nothing waiting.
palisade_wary() {
  printf '%s\n' '# Written by palisade for as long as it installs a release.' '[Unit]' \
    "Description=palisade: put the packages in order that release $palisade_release left half-way" \
    'RequiresMountsFor=/var/lib/palisade' 'Before=ssh.service' '[Service]' 'Type=exec' \
    "ExecStart=/bin/sh $palisade_folder/run $palisade_release boot" 'KillMode=process' 'TimeoutStopSec=10min' \
    >"$palisade_boot_unit.new" && sync "$palisade_boot_unit.new" && mv -f "$palisade_boot_unit.new" "$palisade_boot_unit" &&
    mkdir -p "${palisade_boot_link%/*}" && ln -sfn "$palisade_boot_unit" "$palisade_boot_link" && sync "${palisade_boot_link%/*}"
}
# Of the places that packages are written to, those with less than a MiB left.
palisade_full() {
  df --output=avail,target -k / /usr /var /boot "$palisade_folder" | while read -r palisade_free palisade_place; do
    case $palisade_free in *[!0-9]*) continue ;; esac
    [ "$palisade_free" -ge 1024 ] || printf '%s\n' "$palisade_place"
  done | sort -u | tr '\n' ' '
}
palisade_fail() { # word, reason
  palisade_places=$(palisade_full)
  if [ -n "$palisade_places" ]; then set -- space "nothing is left on ${palisade_places% }: $2"; fi
  palisade_moving
  palisade_write failed "$1" "$2"
  palisade_unwary
  exit 1
}
palisade_error() { grep -E '^(E|dpkg): |^dpkg: error' "$1" | head -n 3 | tr '\n' ' '; }

# dpkg does not wait for its lock. Five minutes, as apt does.
palisade_configured() {
  palisade_waited=0
  until dpkg --configure -a --force-confold >"$palisade_folder/said" 2>&1; do
    cat "$palisade_folder/said"
    grep -q 'locked by another process' "$palisade_folder/said" && [ "$palisade_waited" -lt 150 ] || return 1
    palisade_waited=$((palisade_waited + 1))
    sleep 2
  done
  cat "$palisade_folder/said"
}

palisade_repaired() {
  [ -n "$(dpkg --audit 2>&1)" ] || [ -n "$(ls -A /var/lib/dpkg/updates)" ] || return 0
  palisade_configured || return 1
  if [ -n "$(dpkg --audit 2>&1)" ] || ! palisade_carried_apt apt-get check >"$palisade_folder/said" 2>&1; then
    palisade_carried_apt apt-get -s -f install >"$palisade_folder/said" 2>&1 || return 1
    grep '^Remv ' "$palisade_folder/said" && return 1
    palisade_carried_apt apt-get -y -f install >"$palisade_folder/said" 2>&1 || return 1
  fi
  [ -z "$(dpkg --audit 2>&1)" ]
}

# What of the approved is not there yet.
palisade_left() {
  while read -r palisade_name palisade_to; do
    [ -z "$palisade_name" ] || [ "$(palisade_version "$palisade_name")" = "$palisade_to" ] || printf '%s %s\n' "$palisade_name" "$palisade_to"
  done <"$palisade_folder/approved" | sort
}

# Those that take everybody's session with them, or are renewed by a reboot alone; and those that the fleet names, where a
# template stands for its instances.
palisade_denied() { # unit
  case $1 in
  dbus.service | dbus-broker.service | systemd-logind.service | user@*.service | getty@*.service | serial-getty@*.service | \
    container-getty@*.service | display-manager.service | gdm*.service | lightdm.service | sddm.service | palisade-*.service) return 0 ;;
  esac
  grep -qxF -e "$1" -e "${1%%@*}@.service" "$palisade_folder/never"
}

palisade_install() {
  palisade_write installing || exit 1
  exec >>"$palisade_folder/log" 2>&1 || exit 1
  [ -e "$palisade_folder/began" ] || : >"$palisade_folder/began"
  palisade_wary || palisade_fail state "$palisade_boot_unit cannot be written"
  palisade_still
  palisade_repaired || palisade_fail dpkg "packages on the host want repair: $(palisade_error "$palisade_folder/said")"
  palisade_carried_apt apt-get update >"$palisade_folder/said" 2>&1 || palisade_fail index "the archive of what was carried cannot be read: $(palisade_error "$palisade_folder/said")"
  palisade_carried_apt apt-get -s --with-new-pkgs upgrade >"$palisade_folder/simulated" 2>&1 || palisade_fail apt "apt cannot upgrade: $(palisade_error "$palisade_folder/simulated")"
  sed -n 's/^Inst \([^ ]*\) \(\[[^]]*\] \)\{0,1\}(\([^ ]*\) .*/\1 \3/p' "$palisade_folder/simulated" | sort >"$palisade_folder/now"
  palisade_left >"$palisade_folder/left"
  if ! cmp -s "$palisade_folder/now" "$palisade_folder/left" || grep -q '^Remv ' "$palisade_folder/simulated"; then
    palisade_fail differs "apt would not do what was approved: $(diff "$palisade_folder/left" "$palisade_folder/now" | grep '^[<>]' | head -n 5 | tr '\n' ' ')"
  fi
  if [ -s "$palisade_folder/left" ]; then
    palisade_carried_apt apt-get -y --with-new-pkgs upgrade >"$palisade_folder/said" 2>&1
    palisade_status=$?
    cat "$palisade_folder/said"
    [ "$palisade_status" = 0 ] || palisade_fail apt "apt-get failed (exit $palisade_status): $(palisade_error "$palisade_folder/said")"
  fi
  palisade_left >"$palisade_folder/left"
  [ ! -s "$palisade_folder/left" ] || palisade_fail apt "not installed: $(tr '\n' ' ' <"$palisade_folder/left")"
  palisade_said=$(dpkg --audit 2>&1)
  [ -z "$palisade_said" ] || palisade_fail dpkg "dpkg --audit says: $palisade_said"
  while read -r palisade_name palisade_to; do
    [ -z "$palisade_name" ] || [ "$(palisade_version "$palisade_name")" != "$palisade_to" ] || printf '%s %s\n' "$palisade_name" "$palisade_to"
  done <"$palisade_folder/all" >"$palisade_folder/installed"
  find /etc -xdev -name '*.dpkg-dist' -cnewer "$palisade_folder/began" >"$palisade_folder/dpkg-dist"
  palisade_write installed || exit 1
  # systemd reads its units anew with that, those of the packages too.
  palisade_unwary
  : >"$palisade_folder/denied"
  for palisade_unit_found in $(palisade_stale | cut -d ' ' -f 2 | grep '\.service$' | sort -u); do
    if palisade_denied "$palisade_unit_found"; then
      printf '%s\n' "$palisade_unit_found" >>"$palisade_folder/denied"
      continue
    fi
    timeout 180 systemctl try-restart "$palisade_unit_found" || palisade_fail restart "$palisade_unit_found did not start again"
    palisade_write restarted "$palisade_unit_found"
  done
  palisade_moving
  palisade_asking=$(sort -u /run/reboot-required.pkgs 2>/dev/null | tr '\n' ' ')
  if [ -e /run/reboot-required ] && [ -z "$palisade_asking" ]; then palisade_asking=unknown; fi
  # A boot after everything was installed has renewed what only a boot renews.
  if ! grep ' installed$' "$palisade_folder/journal" | grep -qvF "$(cat /proc/sys/kernel/random/boot_id)"; then
    while read -r palisade_name palisade_to; do
      if [ -n "$palisade_name" ] && grep -qxF "$palisade_name" "$palisade_folder/asks"; then palisade_asking="$palisade_asking $palisade_name"; fi
    done <"$palisade_folder/approved"
  fi
  if [ -n "$palisade_asking" ]; then
    palisade_put reboot "$palisade_asking
"
    palisade_write reboot-asked
  fi
}

# Once: what took the host down may be a package, and must not do so at every boot. What else the release holds is for
# whoever goes on with it.
palisade_after_boot() {
  rm -f "$palisade_boot_link" && sync "${palisade_boot_link%/*}" || exit 1
  exec >>"$palisade_folder/log" 2>&1
  if palisade_repaired; then
    set -- interrupted "the host went down in the middle; its packages are in order again, and the rest is not installed yet"
  else
    set -- dpkg "the host went down in the middle, and its packages want repair: $(palisade_error "$palisade_folder/said")"
  fi
  palisade_unwary
  palisade_write failed "$1" "$2"
}
case ${2:-} in boot) palisade_after_boot ;; *) palisade_install ;; esac
