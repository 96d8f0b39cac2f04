# palisade's half of a release that runs on the host. It is sent with every script of a release, and a copy lies in the
# release's folder for the unit that installs.
#
# In /var/lib/palisade/releases/ID (0700 root): release.yaml and release.yaml.sig as they were carried, journal (one line an
# event, appended and synced), pool/SHA256 (packages and the indexes that sign them, as they were carried), archive (the same, as apt
# reads it), wanted and approved (name and version, line by line),
# health.before (what ran before anything was installed), log (what apt and dpkg said), installed, dpkg-dist and denied
# (what came of it).

palisade_use() { # release
  palisade_release=$1
  palisade_folder=/var/lib/palisade/releases/$1
  palisade_boot_unit=/etc/systemd/system/$(palisade_unit)
  palisade_boot_link=/etc/systemd/system/multi-user.target.wants/$(palisade_unit)
}

# One line of answer. The nonce is known to this script alone.
palisade_reply() { printf '\n%s %s\n' "$palisade_nonce" "$*"; }

palisade_refuse() {
  palisade_reply "refused $1 $(printf '%s' "$2" | tr '\n' ' ' | head -c 400)"
  exit 9
}

# One line of the journal. What a loss of power left of a line has no end, and goes.
palisade_write() { # event, detail
  palisade_line=$(printf '%s %s %s' "$(date -u +%s)" "$(cat /proc/sys/kernel/random/boot_id)" "$*" | tr '\n\t' '  ' | tr -cd '\040-\176' | head -c 400 | sed 's/ *$//')
  if [ -s "$palisade_folder/journal" ] && [ -n "$(tail -c 1 "$palisade_folder/journal")" ]; then
    sed '$d' "$palisade_folder/journal" >"$palisade_folder/journal.new" &&
      sync "$palisade_folder/journal.new" && mv "$palisade_folder/journal.new" "$palisade_folder/journal" || return
  fi
  printf '%s\n' "$palisade_line" >>"$palisade_folder/journal" && sync "$palisade_folder/journal"
}

# Whether what was carried is whole and is what was signed.
palisade_has() { # sha256
  [ -f "$palisade_folder/pool/$1" ] && [ "$(sha256sum <"$palisade_folder/pool/$1" | cut -c 1-64)" = "$1" ]
}

# Takes a file into the pool that lies where another account may write: a copy of it, at most one byte longer than it shall be,
# is what its SHA-256 is taken of.
palisade_taken() { # path, bytes, SHA-256
  if [ -f "$1" ] && [ ! -L "$1" ]; then timeout 60 head -c "$(($2 + 1))" <"$1" >"$palisade_folder/pool/$3.new"; else : >"$palisade_folder/pool/$3.new"; fi
  if [ "$(sha256sum <"$palisade_folder/pool/$3.new" | cut -c 1-64)" != "$3" ]; then
    rm -f "$palisade_folder/pool/$3.new"
    return 1
  fi
  sync "$palisade_folder/pool/$3.new" && mv "$palisade_folder/pool/$3.new" "$palisade_folder/pool/$3" ||
    palisade_refuse space "a file could not be written to $palisade_folder/pool"
}

# A file of the release's folder, whole or not at all.
palisade_put() { # name, text
  printf '%s' "$2" >"$palisade_folder/$1.new" && sync "$palisade_folder/$1.new" && mv "$palisade_folder/$1.new" "$palisade_folder/$1"
}

# apt, as it would be were the carried files the only archives: the host's own state, keyrings, pins and holds, and no other source.
palisade_carried_apt() {
  palisade_program=$1
  shift
  "$palisade_program" -q -c "$palisade_folder/apt.conf" "$@" </dev/null
}

palisade_version() { # package: what of it is installed
  dpkg-query -W -f '${db:Status-Status} ${Version}' "$1" 2>/dev/null | sed -n 's/^installed //p'
}

# What the unit that installs is called.
palisade_unit() { printf 'palisade-release-%s.service' "$palisade_release"; }

# There is nothing more to do at boot. What systemd keeps in mind of it would be in the way of a unit of that name.
palisade_unwary() {
  [ -e "$palisade_boot_unit" ] || [ -L "$palisade_boot_link" ] || return 0
  rm -f "$palisade_boot_link" "$palisade_boot_unit"
  systemctl daemon-reload
}
