# What enrolment puts on a host, so that it can be changed safely from then on. Every part leaves alone what is
# already as it should be, and says which it was.

state=/var/lib/palisade

say() { printf '%s\t%s\n' "$1" "$(printf '%s' "$2" | tr '\n\t' '  ')"; }

fail() {
  say failed "$1"
  exit 9
}

begin() {
  umask 077
  if [ -L "$state" ]; then fail "$state is a symbolic link"; fi
  if [ "$(stat -c '%U:%G:%a' "$state" 2>/dev/null)" = root:root:700 ] && [ -d "$state/tx" ]; then
    say kept "$state"
  else
    mkdir -p -m 0700 "$state" && chown root:root "$state" && chmod 0700 "$state" && mkdir -p -m 0700 "$state/tx" ||
      fail "$state could not be made"
    say changed "$state"
  fi
  exec 9>>"$state/lock" || fail "$state cannot be written"
  flock -w 10 9 || fail "another run is at work on this host"
  if [ -e "$state/pending" ]; then fail "a change is pending on this host; wait until it is confirmed or taken back"; fi
}

# A file of root's, whole or not at all. The text is given without its last line break.
put() { # path, mode, text
  if [ -f "$1" ] && [ ! -L "$1" ] && [ "$(stat -c '%U:%G:%04a' -- "$1")" = "root:root:$2" ] &&
    printf '%s\n' "$3" | cmp -s - "$1"; then
    say kept "$1"
    return
  fi
  put_new=${1%/*}/.${1##*/}.palisade-new
  rm -f -- "$put_new"
  printf '%s\n' "$3" >"$put_new" && chown root:root "$put_new" && chmod "$2" "$put_new" && sync "$put_new" &&
    mv -fT -- "$put_new" "$1" && sync "${1%/*}" || fail "$1 could not be written"
  say changed "$1"
}

marker() { # environment
  if [ ! -d /etc/palisade ]; then mkdir -m 0755 /etc/palisade || fail "/etc/palisade could not be made"; fi
  chmod 0755 /etc/palisade
  put /etc/palisade/environment 0644 "$1"
}

recovery() { # script, unit
  put "$state/recover" 0600 "$1"
  put /etc/systemd/system/palisade-recover.service 0644 "$2"
  if [ "$(systemctl is-enabled palisade-recover.service 2>/dev/null)" = enabled ] &&
    [ "$(systemctl show -P NeedDaemonReload palisade-recover.service)" = no ]; then
    say kept "palisade-recover.service"
    return
  fi
  said=$(systemctl daemon-reload 2>&1 9>&- && systemctl --quiet enable palisade-recover.service 2>&1 9>&-) ||
    fail "palisade-recover.service could not be enabled: $said"
  [ "$(systemctl is-enabled palisade-recover.service 2>/dev/null)" = enabled ] ||
    fail "palisade-recover.service is not enabled, though systemctl said so"
  say changed "palisade-recover.service"
}

person() { # name, comment
  person=$1
  if getent passwd "$1" >/dev/null; then
    uid=$(id -u "$1")
    [ "$uid" -ge 1000 ] || fail "$1 is a system account on this host (uid $uid); declare the person under another name"
    say kept "account $1"
  else
    said=$(useradd --create-home --shell /bin/bash --user-group --comment "$2" -- "$1" 2>&1 9>&-) ||
      fail "account $1 could not be made: $said"
    say changed "account $1"
  fi
  home=$(getent passwd "$1" | cut -d: -f6)
  group=$(id -gn "$1")
  [ -n "$home" ] && [ -d "$home" ] || fail "$1 has no home directory"
  said=$(as_person 'mkdir -p -m 0700 -- "$1/.ssh" && chmod 0700 -- "$1/.ssh"' "$home" 2>&1) ||
    fail "$home/.ssh could not be made by $1: $said"
}

# With the rights of the person alone: where root wrote below a home, a link there would lead it anywhere. What never ends,
# such as a pipe in the place of a file, is given up.
as_person() { # text, its words
  as_text=$1
  shift
  timeout 20 setpriv --reuid="$person" --regid="$group" --init-groups --inh-caps=-all --no-new-privs \
    /bin/sh -c "umask 077; $as_text" palisade "$@" 9>&- </dev/null
}

key() { # line
  said=$(as_person "$add_key" "$home/.ssh/authorized_keys" "$1" 2>&1)
  case "$? $said" in
  '0 kept') say kept "a key of $person" ;;
  '0 changed') say changed "a key of $person" ;;
  *) fail "$home/.ssh/authorized_keys could not be written by $person: $said" ;;
  esac
}

add_key='
  if [ -f "$1" ] && grep -qxF -- "$2" "$1"; then echo kept; exit; fi
  if [ -s "$1" ] && [ -n "$(tail -c 1 "$1")" ]; then printf "\n" >>"$1" || exit; fi
  printf "%s\n" "$2" >>"$1" && chmod 0600 "$1" && sync "$1" && echo changed'

# Lines of others in our file stay: apply decides about them.
sudo_rule() { # name
  rules=/etc/sudoers.d/palisade
  rule="$1 ALL=(ALL:ALL) NOPASSWD: ALL"
  if [ -f "$rules" ] && grep -qxF -- "$rule" "$rules"; then
    say kept "sudo for $1"
    return
  fi
  # sudo reads no file with a dot in its name (sudoers(5)).
  rules_new=/etc/sudoers.d/.palisade.new
  { if [ -f "$rules" ]; then cat "$rules"; fi && printf '%s\n' "$rule"; } >"$rules_new" || fail "$rules could not be written"
  chown root:root "$rules_new" && chmod 0440 "$rules_new" || fail "$rules could not be written"
  if ! said=$(visudo -cf "$rules_new" 2>&1 9>&-); then
    rm -f "$rules_new"
    fail "visudo refuses the rule for $1: $said"
  fi
  sync "$rules_new" && mv -fT "$rules_new" "$rules" && sync /etc/sudoers.d || fail "$rules could not be put in place"
  say changed "sudo for $1"
}

# What the harmless rollback changes and brings back.
rehearsal() { # text
  put "$state/rehearsal" 0600 "$1"
}
