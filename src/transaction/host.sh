# palisade's half of a transaction that runs on the host: protocol 1.
# It is sent with every script of a transaction, and a copy lies in the transaction's folder, so that the host can
# go back by itself, whatever became of the connection, of the control node, or of a newer palisade.
#
# In /var/lib/palisade (0700 root): lock (held for moments), lease (who works here), pending (the transaction that is
# armed), tx/ID/ (its journal), confirmed-ID and rolled-back-ID (how it ended).

palisade_state=/var/lib/palisade
palisade_newline='
'
palisade_units=/run/systemd/transient
palisade_units_at_boot=/etc/systemd/system

# One line of answer. The nonce is known to this script alone. What follows the first two words is free text.
palisade_reply() {
  if [ -n "${palisade_nonce:-}" ]; then printf '\n%s %s\n' "$palisade_nonce" "$*"; else printf '%s\n' "$*"; fi
}

palisade_refuse() {
  palisade_reply "refused $1 $(printf '%s' "$2" | head -n 1 | head -c 400)"
  exit 9
}

palisade_uptime() {
  read -r palisade_up palisade_rest </proc/uptime
  printf '%s' "${palisade_up%.*}"
}

# The first line of a file, in palisade_first. No process is started for it: a change asks for some fifty of them.
palisade_read() { # path
  palisade_first=
  { IFS= read -r palisade_first <"$1"; } 2>/dev/null
}

palisade_boot() {
  palisade_read /proc/sys/kernel/random/boot_id
  printf '%s\n' "$palisade_first"
}

# Start time of a process in clock ticks since boot: a pid alone may have been given to another.
palisade_started() {
  palisade_read "/proc/$1/stat" || return 1
  set -- ${palisade_first##*) }
  printf '%s' "${20}"
}

# Through `command`, since a redirection that fails would end the shell itself. What cannot be opened for writing, on a
# file system that became read-only, can still be locked.
palisade_with_lock() { # seconds
  command exec 9>>"$palisade_state/lock" || command exec 9<"$palisade_state/lock" || return 1
  flock -w "$1" 9
}

# An empty file. Not by `:`, whose failed redirection would end the shell.
palisade_mark() { printf '' >"$1"; }

palisade_use() { # transaction
  palisade_id=$1
  palisade_tx=$palisade_state/tx/$1
}

palisade_beside() { # path, number, old|new: the name of a staged copy, on the same file system as its target
  printf '%s/.palisade-%s-%s.%s' "${1%/*}" "$palisade_id" "$2" "$3"
}

palisade_pending() {
  palisade_read "$palisade_state/pending"
  printf '%s' "$palisade_first"
}

# --- the lease ---------------------------------------------------------------------------------------------------

palisade_lease_field() { # name
  [ -s "$palisade_state/lease" ] || return 0
  while IFS= read -r palisade_line; do
    case $palisade_line in "$1="*)
      printf '%s' "${palisade_line#*=}"
      return ;;
    esac
  done <"$palisade_state/lease"
}

# A lease counts only in the boot that it was taken in, and until its time by the kernel's own clock: a wall clock
# that is a year off neither prolongs nor ends it.
palisade_lease_holds() {
  [ -s "$palisade_state/lease" ] || return 1
  [ "$(palisade_lease_field boot)" = "$(palisade_boot)" ] || return 1
  palisade_until=$(palisade_lease_field until)
  [ "${palisade_until:-0}" -gt "$(palisade_uptime)" ]
}

palisade_take_lease() { # run, who, from, seconds
  if palisade_lease_holds && [ "$(palisade_lease_field run)" != "$1" ]; then
    palisade_reply "holder $(palisade_lease_field run) $(($(palisade_lease_field until) - $(palisade_uptime))) $(palisade_lease_field since) $(palisade_lease_field who) from $(palisade_lease_field from)"
    palisade_refuse leased "another run holds this host"
  fi
  palisade_since=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  if [ "$(palisade_lease_field run)" = "$1" ]; then palisade_since=$(palisade_lease_field since); fi
  rm -f "$palisade_state/lease"
  ( set -C
    printf 'version=1\nrun=%s\nwho=%s\nfrom=%s\nboot=%s\nsince=%s\nuntil=%s\n' "$1" "$2" "$3" "$(palisade_boot)" \
      "$palisade_since" "$(($(palisade_uptime) + $4))" >"$palisade_state/lease"
  ) && sync "$palisade_state/lease" || {
    rm -f "$palisade_state/lease"
    palisade_refuse state "the lease could not be written to $palisade_state"
  }
}

# A release is installed by a unit of the host's own, which goes on when whoever began it is gone, and when their lease is
# over: while it is at work the host is taken all the same, but by those who install that release.
palisade_alone() { # release, or nothing
  for palisade_found in "$palisade_units"/palisade-release-*.service "$palisade_units_at_boot"/palisade-release-*.service; do
    [ -e "$palisade_found" ] || continue
    palisade_found=${palisade_found##*/}
    [ "$palisade_found" != "palisade-release-${1:-}.service" ] || continue
    # Whatever is not seen to have ended may be at work.
    case $(systemctl is-active "$palisade_found" 9>&-) in inactive | failed | unknown) continue ;; esac
    palisade_found=${palisade_found#palisade-release-}
    palisade_found=${palisade_found%.service}
    palisade_who=$(sed -n 's/^[0-9]* [^ ]* begun [^ ]* \([^ ]*\) \([^ ]*\)$/\1 (run \2)/p' "$palisade_state/releases/$palisade_found/journal" | tail -n 1)
    palisade_refuse installing "release $palisade_found is being installed there for ${palisade_who:-somebody}, by a unit of the host's own that goes on by itself; \`palisade patch apply\` with that release follows it to its end"
  done
}

# For work on a release, which is no transaction: nobody else's may be pending. It is taken again and again while the work
# goes on.
palisade_hold() { # run, who, from, seconds, release
  umask 077
  palisade_with_lock 10 || palisade_refuse busy "the lock on $palisade_state is taken"
  [ -z "$(palisade_pending)" ] || palisade_refuse pending "a change is pending there: $(palisade_pending)"
  palisade_alone "$5"
  palisade_take_lease "$1" "$2" "$3" "$4"
  palisade_holds=$1
  exec 9>&-
  palisade_reply "held $1"
}

palisade_release() { # run
  palisade_with_lock 10 || palisade_refuse busy "the lock on $palisade_state is taken"
  if [ "$(palisade_lease_field run)" = "$1" ]; then rm -f "$palisade_state/lease"; fi
  palisade_reply "released $1"
}

palisade_unlock() { # the pending transaction, or the run that holds the lease
  if [ -n "$(palisade_pending)" ]; then
    [ "$(palisade_pending)" = "$1" ] || palisade_refuse other "pending is $(palisade_pending), not $1"
    palisade_rollback "$1" asked || palisade_refuse rollback "it could not be taken back"
    palisade_reply "unlocked $1 taken-back"
    return
  fi
  palisade_with_lock 10 || palisade_refuse busy "the lock on $palisade_state is taken"
  palisade_alone
  [ -s "$palisade_state/lease" ] || palisade_refuse free "nobody holds this host, and nothing is pending"
  [ "$(palisade_lease_field run)" = "$1" ] || palisade_refuse other "the host is held by $(palisade_lease_field run), not $1"
  rm -f "$palisade_state/lease"
  palisade_reply "unlocked $1 lease"
}

palisade_settle() { # run: takes back what it left pending, and says how its transactions ended
  palisade_with_lock 10 || palisade_refuse busy "the lock on $palisade_state is taken"
  palisade_found=$(palisade_pending)
  if [ -n "$palisade_found" ] && palisade_read "$palisade_state/tx/$palisade_found/run" && [ "$palisade_first" = "$1" ]; then
    palisade_rollback "$palisade_found" asked
  fi
  for palisade_folder in "$palisade_state"/tx/*/; do
    palisade_read "${palisade_folder}run" && [ "$palisade_first" = "$1" ] || continue
    palisade_left=${palisade_folder%/}
    palisade_outcome "${palisade_left##*/}"
  done
  palisade_reply "settled $1"
}

# --- beginning ---------------------------------------------------------------------------------------------------

palisade_begin() { # transaction, run, who, from, lease seconds
  umask 077
  palisade_run=$2
  palisade_use "$1"
  [ -d "$palisade_state/tx" ] || palisade_refuse not-enrolled "$palisade_state/tx is missing: the host was not enrolled"
  palisade_with_lock 10 || palisade_refuse busy "the lock on $palisade_state is taken"
  palisade_found=$(palisade_pending)
  if [ -n "$palisade_found" ]; then
    palisade_read "$palisade_state/tx/$palisade_found/deadline"
    palisade_limit=$palisade_first
    if [ "${palisade_limit:-0}" -gt "$(palisade_uptime)" ] &&
       palisade_read "$palisade_state/tx/$palisade_found/boot" && [ "$palisade_first" = "$(palisade_boot)" ]; then
      palisade_reply "holder $(palisade_lease_field run) $((palisade_limit - $(palisade_uptime))) $(palisade_lease_field since) $(palisade_lease_field who) from $(palisade_lease_field from)"
      palisade_refuse pending "$palisade_found"
    fi
    # Its time is over, yet it still stands: the timer was taken away. Go back first.
    exec 9>&-
    /bin/sh "$palisade_state/tx/$palisade_found/rollback" late
    palisade_refuse went-back "$palisade_found was still pending after its time; the host has gone back"
  fi
  palisade_alone
  palisade_take_lease "$2" "$3" "$4" "$5"
  palisade_sweep
  mkdir "$palisade_tx" || palisade_give_up space "$palisade_tx could not be made"
  printf '%s\n' "$2" >"$palisade_tx/run" && palisade_boot >"$palisade_tx/boot" && palisade_mark "$palisade_tx/steps" ||
    palisade_give_up space "the journal could not be written"
}

# Staged copies that a run left behind after its transaction had ended.
palisade_sweep() {
  for palisade_folder in "$palisade_state"/tx/*/; do
    [ -f "${palisade_folder}steps" ] || continue
    [ -f "${palisade_folder}swept" ] && continue
    palisade_swept=${palisade_folder%/}
    palisade_clean "$palisade_swept" "${palisade_swept##*/}"
  done
}

palisade_clean() { # folder, transaction
  palisade_wipe_secrets "$1" "$2" journal
  palisade_keep_id=${palisade_id:-}
  palisade_id=$2
  while IFS='	' read -r palisade_kind palisade_n palisade_path palisade_rest; do
    [ "$palisade_kind" = file ] || continue
    rm -f "$(palisade_beside "$palisade_path" "$palisade_n" old)" "$(palisade_beside "$palisade_path" "$palisade_n" new)"
  done <"$1/steps"
  set -- "$1" "/etc/.palisade-$2"
  rm -f "$2-passwd.old" "$2-shadow.old" "$2-group.old" "$2-gshadow.old" "$2-subuid.old" "$2-subgid.old"
  rm -rf "$1/ssh" "$1/fail2ban"
  rm -f "$1"/old.* "$1"/new.* "$1"/etc.*
  palisade_mark "$1/swept"
  palisade_id=$palisade_keep_id
}

palisade_give_up() { # code, text: nothing was armed yet, nothing was changed
  rm -rf "$palisade_tx"
  if [ "$(palisade_lease_field run)" = "$palisade_run" ]; then rm -f "$palisade_state/lease"; fi
  palisade_refuse "$1" "$2"
}

palisade_step() { # words of a line of the journal
  palisade_words=$1
  shift
  for palisade_word in "$@"; do palisade_words="$palisade_words	$palisade_word"; done
  printf '%s\n' "$palisade_words" >>"$palisade_tx/steps" || palisade_give_up state "the journal could not be written"
}

palisade_changed() { palisade_give_up changed "$1 is not what the plan saw; make a new plan"; }

# Directories above a path that do not exist are made when it is staged, and go when it is taken back.
palisade_note_folders() { # path
  palisade_missing=
  palisade_folder=${1%/*}
  while [ -n "$palisade_folder" ] && [ ! -d "$palisade_folder" ]; do
    palisade_missing="$palisade_folder
$palisade_missing"
    palisade_folder=${palisade_folder%/*}
  done
  printf '%s' "$palisade_missing" | while IFS= read -r palisade_folder; do
    grep -qxF "folder	$palisade_folder" "$palisade_tx/steps" || printf 'folder\t%s\n' "$palisade_folder" >>"$palisade_tx/steps"
  done
}

# --- files below folders of others -------------------------------------------------------------------------------

# In a folder that somebody else may write nothing is opened, copied or renamed by its path: what is there is kept in the
# journal, and taken away and put back by writer.pl.
palisade_writer() { perl -e "$palisade_writer_text" "$@" 9>&-; }

palisade_paths() { # the paths of all files of the transaction
  palisade_foreign=$(palisade_writer foreign "$@") || palisade_give_up state "whose the folders are could not be read"
}

palisade_is_foreign() { # path
  case "$palisade_newline$palisade_foreign$palisade_newline" in *"$palisade_newline$1$palisade_newline"*) return 0 ;; esac
  return 1
}

# What shall go goes, whatever its owner makes of it meanwhile: nobody keeps a change from being made by swapping files.
palisade_keep_foreign() { # number, path, what was seen there
  palisade_number=$1 palisade_path=$2
  shift 2
  if [ "$palisade_goes" = yes ]; then set -- any; fi
  palisade_said=$(palisade_writer keep "$palisade_tx/old.$palisade_number" "$palisade_path" "$@" 2>&1)
  case $? in
  0) ;;
  3) palisade_changed "$palisade_path" ;;
  *) palisade_give_up space "the old $palisade_path could not be kept: $palisade_said" ;;
  esac
  palisade_step foreign "$palisade_number" "$palisade_path" "$1"
}

palisade_foreign_steps() { palisade_foreign=$(sed -n 's/^foreign	[0-9]*	\([^	]*\)	.*/\1/p' "$palisade_tx/steps"); }

palisade_expect_absent() { # number, path
  if palisade_is_foreign "$2"; then
    palisade_keep_foreign "$1" "$2" none
    return
  fi
  if [ -e "$2" ] || [ -L "$2" ]; then palisade_changed "$2"; fi
  palisade_note_folders "$2"
  palisade_step file "$1" "$2" absent
}

palisade_expect_file() { # number, path, sha256, mode, owner, group
  if palisade_is_foreign "$2"; then
    palisade_keep_foreign "$1" "$2" file "$3" "$4" "$5" "$6"
    return
  fi
  [ -f "$2" ] && [ ! -L "$2" ] || palisade_changed "$2"
  [ "$(sha256sum <"$2")" = "$3  -" ] || palisade_changed "$2"
  [ "$(stat -c '%04a %U %G' -- "$2")" = "$4 $5 $6" ] || palisade_changed "$2"
  cp -a -- "$2" "$palisade_tx/old.$1" || palisade_give_up space "the old $2 could not be kept"
  palisade_step file "$1" "$2" present
}

palisade_expect_other() { # number, path, link|file: what it holds was not seen
  if palisade_is_foreign "$2"; then
    palisade_keep_foreign "$1" "$2" "$3"
    return
  fi
  case $3 in
  link) [ -L "$2" ] || palisade_changed "$2" ;;
  *) [ -f "$2" ] && [ ! -L "$2" ] || palisade_changed "$2" ;;
  esac
  cp -a -- "$2" "$palisade_tx/old.$1" || palisade_give_up space "the old $2 could not be kept"
  palisade_step file "$1" "$2" present
}

palisade_new_file() { # number, mode, owner, group, base64
  # The owner is set where the file is staged: it may be an account that this transaction makes.
  printf '%s' "$5" | base64 -d >"$palisade_tx/new.$1" || palisade_give_up space "the new file could not be kept"
  printf '%s %s %s\n' "$2" "$3" "$4" >"$palisade_tx/new.$1.mode" || palisade_give_up space "the new file could not be kept"
}

palisade_expect_unit() { # unit, is-enabled, is-active
  palisade_now=$(systemctl show -p LoadState -p UnitFileState -- "$1") || palisade_give_up state "systemctl does not answer"
  case $palisade_now in
  *LoadState=not-found*) palisade_now=not-found ;;
  *)
    palisade_now=${palisade_now#*UnitFileState=}
    palisade_now=${palisade_now%%
*} ;;
  esac
  if [ "$palisade_now" != "$2" ]; then palisade_changed "$1 ($palisade_now, not $2)"; fi
  palisade_step unit "$1" "$2" "$3"
}

palisade_expect_ruleset() { # sha256 of the listing, or absent
  # Compared without what its sets gathered, which changes all the time; kept with it.
  if palisade_listing=$(nft -s -t list table inet palisade 2>/dev/null); then
    [ "$(printf '%s\n' "$palisade_listing" | sha256sum)" = "$1  -" ] || palisade_changed "the live table inet palisade"
    { printf 'table inet palisade\ndelete table inet palisade\n'; nft list table inet palisade; } >"$palisade_tx/old.ruleset" ||
      palisade_give_up space "the old ruleset could not be kept"
    palisade_step ruleset present
  else
    [ "$1" = absent ] || palisade_changed "the live table inet palisade"
    nft list tables >/dev/null || palisade_give_up nft "nft does not answer"
    printf 'table inet palisade\ndelete table inet palisade\n' >"$palisade_tx/old.ruleset" ||
      palisade_give_up space "the old ruleset could not be kept"
    palisade_step ruleset absent
  fi
}

palisade_new_ruleset() { # text
  printf '%s\n' "$1" >"$palisade_tx/new.ruleset" || palisade_give_up space "the new ruleset could not be kept"
}

# Whether fail2ban runs, and the table of its bans as it is.
palisade_expect_bans() {
  printf 'table inet palisade-bans\ndelete table inet palisade-bans\n' >"$palisade_tx/old.bans" ||
    palisade_give_up space "the old bans could not be kept"
  if nft list table inet palisade-bans >/dev/null 2>&1; then
    nft list table inet palisade-bans >>"$palisade_tx/old.bans" || palisade_give_up space "the old bans could not be kept"
  fi
  palisade_step bans "$(systemctl is-active fail2ban.service)"
}

palisade_account() { # create|open|lock|close|join|leave and its words
  palisade_step account "$@"
  if [ "$1" = create ]; then
    if getent passwd -- "$2" >/dev/null; then palisade_changed "account $2"; fi
    if [ ! -e "$4" ]; then palisade_step home "$2" "$4"; fi
  fi
}

# --- arming ------------------------------------------------------------------------------------------------------

palisade_arm() { # seconds
  sync "$palisade_tx"/* "$palisade_tx" "$palisade_state/tx" || palisade_give_up space "the journal could not be made durable"
  printf '%s\n' "$(($(palisade_uptime) + $1))" >"$palisade_tx/deadline" || palisade_give_up space "the journal could not be written"
  printf '%s\n' "$palisade_id" >"$palisade_state/pending.new" || palisade_give_up space "$palisade_state cannot be written"
  sync "$palisade_tx/deadline" "$palisade_state/pending.new" || palisade_give_up space "the journal could not be made durable"
  mv -fT "$palisade_state/pending.new" "$palisade_state/pending" || palisade_give_up state "$palisade_state cannot be written"
  sync "$palisade_state"
  # One that is killed half-way, or cannot put everything back, is run again until it can.
  if ! palisade_said=$(systemd-run --quiet --unit="palisade-rollback-$palisade_id" --on-active="${1}s" \
      --timer-property=AccuracySec=1s --property=Restart=on-failure --property=RestartSec=5s /bin/sh "$palisade_tx/rollback" timer 2>&1); then
    rm -f "$palisade_state/pending"
    palisade_give_up arm "the rollback timer could not be started: $palisade_said"
  fi
  if [ "$(systemctl is-active "palisade-rollback-$palisade_id.timer" 2>/dev/null)" != active ]; then
    rm -f "$palisade_state/pending"
    systemctl stop "palisade-rollback-$palisade_id.timer" 2>/dev/null
    palisade_give_up arm "the rollback timer is not active"
  fi
  palisade_reply "armed $palisade_id $(palisade_boot)"
}

palisade_mine() { # the transaction is pending, and this script holds the lock
  palisade_with_lock 10 || palisade_refuse busy "the lock on $palisade_state is taken"
  [ "$(palisade_pending)" = "$palisade_id" ] || palisade_refuse not-pending "$palisade_id is no longer pending"
  # Where the rollback finds this script still at work when the time is up, it ends it.
  printf '%s %s\n' "$$" "$(palisade_started $$)" >"$palisade_tx/worker"
}

palisade_library() { # text: what the rollback reads, kept with the journal
  printf '%s' "$1" >"$palisade_tx/library" || palisade_give_up space "the journal could not be written"
  printf '. %s/library\npalisade_rollback %s "${1:-asked}"\n' "$palisade_tx" "$palisade_id" >"$palisade_tx/rollback" ||
    palisade_give_up space "the journal could not be written"
}

palisade_done() { # what: this script's part is over
  rm -f "$palisade_tx/worker"
  palisade_reply "$1 $palisade_id"
}

# --- accounts and staged copies ----------------------------------------------------------------------------------

palisade_run_accounts() {
  grep -q '^account	' "$palisade_tx/steps" || return 0
  for palisade_name in passwd shadow group gshadow subuid subgid; do
    if [ -e "/etc/$palisade_name" ]; then
      cp -a "/etc/$palisade_name" "$palisade_tx/etc.$palisade_name" &&
        cp -a "/etc/$palisade_name" "/etc/.palisade-$palisade_id-$palisade_name.old" ||
        palisade_refuse space "/etc/$palisade_name could not be kept"
      sync "$palisade_tx/etc.$palisade_name" "/etc/.palisade-$palisade_id-$palisade_name.old" ||
        palisade_refuse space "/etc/$palisade_name could not be kept"
    fi
  done
  palisade_mark "$palisade_tx/accounts" && sync "$palisade_tx/accounts" "$palisade_tx" /etc || palisade_refuse space "the journal could not be made durable"
  while IFS='	' read -r palisade_kind palisade_action palisade_user palisade_a palisade_b palisade_c; do
    [ "$palisade_kind" = account ] || continue
    case $palisade_action in
    create) palisade_said=$(useradd --create-home --home-dir "$palisade_b" --shell "$palisade_a" --user-group --comment "$palisade_c" -- "$palisade_user" 9>&- 2>&1) ;;
    open) palisade_said=$(usermod --expiredate '' --shell "$palisade_a" -- "$palisade_user" 9>&- 2>&1 &&
      chage --lastday -1 --maxdays -1 --inactive -1 -- "$palisade_user" 9>&- 2>&1) ;;
    lock) palisade_said=$(usermod --lock -- "$palisade_user" 9>&- 2>&1) ;;
    close) palisade_said=$(usermod --lock --expiredate 1 -- "$palisade_user" 9>&- 2>&1) ;;
    join) palisade_said=$(usermod --append --groups "$palisade_a" -- "$palisade_user" 9>&- 2>&1) ;;
    leave) palisade_said=$(gpasswd --delete "$palisade_user" "$palisade_a" 9>&- 2>&1) ;;
    *) palisade_refuse protocol "unknown account action" ;;
    esac || palisade_refuse account "$palisade_action $palisade_user: $palisade_said"
  done <"$palisade_tx/steps"
}

palisade_stage() {
  palisade_mark "$palisade_tx/staging" && sync "$palisade_tx/staging" "$palisade_tx" || palisade_refuse space "the journal could not be made durable"
  while IFS='	' read -r palisade_kind palisade_n palisade_path palisade_before; do
    case $palisade_kind in
    folder) [ -d "$palisade_n" ] || mkdir -m 0755 "$palisade_n" || palisade_refuse space "$palisade_n could not be made" ;;
    file)
      if [ "$palisade_before" = present ]; then
        cp -a -- "$palisade_tx/old.$palisade_n" "$(palisade_beside "$palisade_path" "$palisade_n" old)" ||
          palisade_refuse space "the old $palisade_path could not be staged"
      fi
      if [ -f "$palisade_tx/new.$palisade_n" ]; then
        palisade_new=$(palisade_beside "$palisade_path" "$palisade_n" new)
        read -r palisade_mode palisade_owner palisade_group <"$palisade_tx/new.$palisade_n.mode"
        cp -- "$palisade_tx/new.$palisade_n" "$palisade_new" && chown "$palisade_owner:$palisade_group" -- "$palisade_new" &&
          chmod "$palisade_mode" -- "$palisade_new" && sync "$palisade_new" ||
          palisade_refuse space "the new $palisade_path could not be staged"
      fi ;;
    esac
  done <"$palisade_tx/steps"
  sync -f "$palisade_tx" /etc
}

# --- validating --------------------------------------------------------------------------------------------------

palisade_validate() {
  while IFS='	' read -r palisade_kind palisade_n palisade_path palisade_before; do
    [ "$palisade_kind" = file ] || continue
    case $palisade_path in
    /etc/sudoers | /etc/sudoers.d/*)
      palisade_new=$(palisade_beside "$palisade_path" "$palisade_n" new)
      if [ -f "$palisade_new" ]; then
        palisade_said=$(visudo -cf "$palisade_new" 9>&- 2>&1) || palisade_refuse invalid "$palisade_path: $palisade_said"
      fi ;;
    /etc/palisade/firewall-fallback.nft)
      palisade_new=$(palisade_beside "$palisade_path" "$palisade_n" new)
      if [ -f "$palisade_new" ]; then
        palisade_said=$(unshare -n nft -f "$palisade_new" 9>&- 2>&1) || palisade_refuse invalid "$palisade_path: $palisade_said"
      fi ;;
    esac
  done <"$palisade_tx/steps"
  if grep -q '^bans	' "$palisade_tx/steps"; then palisade_validate_bans; fi
  if [ -f "$palisade_tx/new.ruleset" ]; then
    palisade_said=$(nft -c -f "$palisade_tx/new.ruleset" 9>&- 2>&1) || palisade_refuse invalid "the ruleset: $palisade_said"
  fi
}

# fail2ban's configuration as it would be, in a folder of its own, and the table that its action loads.
palisade_validate_bans() {
  command -v fail2ban-client >/dev/null || palisade_refuse invalid "fail2ban is not installed"
  rm -rf "$palisade_tx/fail2ban"
  cp -a /etc/fail2ban "$palisade_tx/fail2ban" || palisade_refuse space "fail2ban's configuration could not be copied"
  while IFS='	' read -r palisade_kind palisade_n palisade_path palisade_before; do
    [ "$palisade_kind" = file ] || continue
    palisade_new=$(palisade_beside "$palisade_path" "$palisade_n" new)
    case $palisade_path in
    /etc/fail2ban/*)
      palisade_inner=$palisade_tx/fail2ban/${palisade_path#/etc/fail2ban/}
      if [ -f "$palisade_new" ]; then cp -a -- "$palisade_new" "$palisade_inner"; else rm -f -- "$palisade_inner"; fi ;;
    /etc/palisade/bans.nft)
      if [ -f "$palisade_new" ]; then
        palisade_said=$(unshare -n nft -f "$palisade_new" 9>&- 2>&1) || palisade_refuse invalid "$palisade_path: $palisade_said"
      fi ;;
    esac
  done <"$palisade_tx/steps"
  palisade_said=$(fail2ban-client -c "$palisade_tx/fail2ban" -t 9>&- 2>&1) ||
    palisade_refuse invalid "fail2ban: $(printf '%s' "$palisade_said" | tail -n 1)"
  rm -rf "$palisade_tx/fail2ban"
}

# The whole of /etc/ssh as it would be, in a mount namespace of its own, for the questions that follow.
palisade_staged_ssh() { # transaction
  palisade_use "$1"
  rm -rf "$palisade_tx/ssh"
  cp -a /etc/ssh "$palisade_tx/ssh" || exit 9
  while IFS='	' read -r palisade_kind palisade_n palisade_path palisade_before; do
    case "$palisade_kind $palisade_path" in
    'file /etc/ssh/'*)
      palisade_inner=$palisade_tx/ssh/${palisade_path#/etc/ssh/}
      palisade_new=$(palisade_beside "$palisade_path" "$palisade_n" new)
      if [ -f "$palisade_new" ]; then cp -a -- "$palisade_new" "$palisade_inner"; else rm -f -- "$palisade_inner"; fi ;;
    esac
  done <"$palisade_tx/steps"
  mount --bind "$palisade_tx/ssh" /etc/ssh || exit 9
  if palisade_said=$(/usr/sbin/sshd -t 2>&1); then printf 'sshd-t ok\n'; else printf 'sshd-t %s\n' "$(printf '%s' "$palisade_said" | head -n 1)"; fi
}

# --- switching ---------------------------------------------------------------------------------------------------

# The states of ssh.service and ssh.socket, one word each.
palisade_sshd_state() {
  palisade_word=$(systemctl is-active ssh.service ssh.socket 2>/dev/null)
  printf '%s ' $palisade_word
}

palisade_sshd_reload() {
  # Started by a socket, sshd dies on a reload while the socket goes on: let it start anew instead. A reload's exit
  # status proves nothing: look at the unit.
  case $(palisade_sshd_state) in
  *' active ') systemctl try-restart ssh.service 9>&- ;;
  'active '*) systemctl reload ssh.service 9>&- ;;
  *) systemctl restart ssh.service 9>&- ;;
  esac
}

palisade_sshd_alive() {
  palisade_tries=0
  while [ "$palisade_tries" -lt 20 ]; do
    case $(palisade_sshd_state) in
    'active '* | *' active ') [ "$palisade_tries" -ge 3 ] && return 0 ;;
    esac
    palisade_tries=$((palisade_tries + 1))
    sleep 0.1
  done
  return 1
}

palisade_switch_begin() {
  palisade_foreign_steps
  palisade_mark "$palisade_tx/switching" && sync "$palisade_tx/switching" "$palisade_tx" || palisade_refuse space "the journal could not be made durable"
}

palisade_switch_file() { # number, path, present|absent (what shall be there)
  if palisade_is_foreign "$2"; then
    case $3 in
    present) palisade_said=$(palisade_writer write "$palisade_tx/new.$1" "$2" 2>&1) ;;
    *) palisade_said=$(palisade_writer remove "$palisade_tx/old.$1" "$2" 2>&1) ;;
    esac || palisade_refuse switch "$2 could not be made $3: $palisade_said"
    return
  fi
  if [ "$3" = present ]; then
    mv -fT -- "$(palisade_beside "$2" "$1" new)" "$2" || palisade_refuse switch "$2 could not be put in place"
  else
    rm -f -- "$2" || palisade_refuse switch "$2 could not be removed"
  fi
}

palisade_switch_reload_units() { systemctl daemon-reload 9>&- || palisade_refuse switch "systemd could not read its units again"; }

palisade_switch_unit() { # unit, enabled|disabled|masked|-, active|inactive|-
  case $2 in
  enabled) palisade_said=$(systemctl --quiet unmask -- "$1" 9>&- 2>&1 && systemctl --quiet enable -- "$1" 9>&- 2>&1) ;;
  disabled) palisade_said=$(systemctl --quiet unmask -- "$1" 9>&- 2>&1 && systemctl --quiet disable -- "$1" 9>&- 2>&1) ;;
  masked) palisade_said=$(systemctl --quiet mask -- "$1" 9>&- 2>&1) ;;
  *) ;;
  esac || palisade_refuse switch "$1 could not be made $2: $palisade_said"
  case $3 in
  active) palisade_said=$(systemctl start -- "$1" 9>&- 2>&1) ;;
  inactive) palisade_said=$(systemctl stop -- "$1" 9>&- 2>&1) ;;
  *) ;;
  esac || palisade_refuse switch "$1 could not be made $3: $palisade_said"
}

# Started anew, fail2ban loads its table, which is whole then whatever was in it, and puts back what it remembers.
palisade_switch_bans() {
  nft delete table inet palisade-bans 2>/dev/null 9>&-
  palisade_said=$(systemctl restart fail2ban.service 9>&- 2>&1) || palisade_refuse switch "fail2ban could not be started anew: $palisade_said"
  palisade_tries=0
  until fail2ban-client status sshd >/dev/null 2>&1 9>&- && nft list chain inet palisade-bans input >/dev/null 2>&1 9>&-; do
    palisade_tries=$((palisade_tries + 1))
    if [ "$palisade_tries" -ge 50 ] || [ "$(systemctl is-active fail2ban.service)" = failed ]; then
      palisade_refuse switch "fail2ban does not watch sshd after it was started anew"
    fi
    sleep 0.1
  done
}

palisade_switch_sshd() {
  palisade_sshd_reload || palisade_refuse sshd "sshd could not be reloaded"
  palisade_sshd_alive || palisade_refuse sshd "sshd is not running after its reload"
}

palisade_switch_ruleset() {
  palisade_said=$(nft -f "$palisade_tx/new.ruleset" 9>&- 2>&1) || palisade_refuse switch "the ruleset was not loaded: $palisade_said"
}

palisade_switch_end() {
  sync -f "$palisade_tx" /etc
  palisade_done switched
}

# --- ending ------------------------------------------------------------------------------------------------------

# An account that was closed has no more sessions, and nothing of it runs on: but never the account that palisade came by.
palisade_end_access() { # accounts
  palisade_read /proc/self/loginuid
  palisade_came=$palisade_first palisade_over=
  for palisade_user in "$@"; do
    palisade_uid=$(id -u -- "$palisade_user" 2>/dev/null) || continue
    [ "$palisade_uid" -ne 0 ] && [ "$palisade_uid" != "$palisade_came" ] || continue
    palisade_over="$palisade_over $palisade_user $palisade_uid"
  done
  [ -n "$palisade_over" ] || return 0
  # names and ids of accounts hold nothing that the shell would take for more than a word
  # shellcheck disable=SC2086
  palisade_writer end $palisade_over | while IFS= read -r palisade_line; do palisade_reply "ended $palisade_line"; done
}

# What stood on a port that the firewall no longer lets in is an answer to it, and would go on for as long as it likes: the
# kernel ends it, where it can (CONFIG_INET_DIAG_DESTROY). The host's own connections to itself stay.
palisade_connections() { # port, options of ss
  palisade_port=$1
  shift
  ss -H -tn "$@" state established "( sport = :$palisade_port )" and not src 127.0.0.0/8 and not src '[::1]' 9>&-
}

palisade_end_connections() { # TCP ports
  for palisade_port in "$@"; do
    palisade_before=$(palisade_connections "$palisade_port" | grep -c .)
    [ "$palisade_before" -gt 0 ] || continue
    palisade_connections "$palisade_port" -K >/dev/null 2>&1
    sleep 0.2
    palisade_after=$(palisade_connections "$palisade_port" | grep -c .)
    palisade_reply "cut $palisade_port $((palisade_before - palisade_after)) $palisade_after"
  done
}

# --- confirming --------------------------------------------------------------------------------------------------

palisade_confirm() { # transaction, seconds that must remain
  palisade_use "$1"
  palisade_with_lock 10 || palisade_refuse busy "the lock on $palisade_state is taken"
  [ "$(palisade_pending)" = "$palisade_id" ] || palisade_refuse not-pending "$palisade_id is no longer pending"
  palisade_read "$palisade_tx/deadline"
  palisade_left=$((${palisade_first:-0} - $(palisade_uptime)))
  if [ "$palisade_left" -lt "$2" ]; then palisade_refuse late "$palisade_left s are left of the rollback's time; $2 are needed"; fi
  # This rename is the commit. What follows is tidying.
  mv -T "$palisade_state/pending" "$palisade_state/confirmed-$palisade_id" || palisade_refuse state "$palisade_state cannot be written"
  sync "$palisade_state"
  # Before the timer ends, which cleans up where this script is killed on the way.
  palisade_clean "$palisade_tx" "$palisade_id"
  systemctl stop "palisade-rollback-$palisade_id.timer" 2>/dev/null 9>&-
  printf 'confirmed\n' >"$palisade_tx/outcome"
  if [ -z "$(palisade_pending)" ] && [ -f "$palisade_state/confirmed-$palisade_id" ]; then
    palisade_reply "confirmed $palisade_id $palisade_left"
  else
    palisade_refuse state "the state after the commit is not what it should be"
  fi
}

