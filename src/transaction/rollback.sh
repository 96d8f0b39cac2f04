# The way back: what takes a change back, with host.sh and kernel.sh on the host, and neither the control node nor the
# network.

# --- going back --------------------------------------------------------------------------------------------------

# shadow-utils' own lock: NAME.lock holds a process id, and one whose process is gone is stale. Where it cannot be had,
# on a full disk or a read-only one, going back does not wait for it for ever.
palisade_lock_accounts() {
  palisade_tries=0
  while ! ( set -C; printf '%s' "$$" >/etc/passwd.lock ) 2>/dev/null; do
    [ "$palisade_tries" -lt 60 ] || return 0
    palisade_holder=$(cat /etc/passwd.lock 2>/dev/null)
    if [ -z "$palisade_holder" ] || ! kill -0 "$palisade_holder" 2>/dev/null || [ "$palisade_tries" -ge 50 ]; then rm -f /etc/passwd.lock; fi
    palisade_tries=$((palisade_tries + 1))
    sleep 0.1
  done
}

palisade_back_file() { # number, path, before
  palisade_old=$(palisade_beside "$2" "$1" old)
  if [ "$3" = absent ]; then
    if palisade_is_secret "$1"; then palisade_wipe "$2"; fi
    rm -f -- "$2" || palisade_bad="$palisade_bad $2"
  else
    if [ -e "$palisade_old" ] || [ -L "$palisade_old" ]; then
      mv -fT -- "$palisade_old" "$2" || palisade_bad="$palisade_bad $2"
    fi
    if [ -f "$palisade_tx/old.$1" ] && [ ! -L "$palisade_tx/old.$1" ] && ! cmp -s -- "$palisade_tx/old.$1" "$2"; then
      cp -a -- "$palisade_tx/old.$1" "$palisade_old" && mv -fT -- "$palisade_old" "$2" || palisade_bad="$palisade_bad $2"
    fi
  fi
}

palisade_back_accounts() {
  [ -f "$palisade_tx/accounts" ] || return 0
  palisade_lock_accounts
  for palisade_name in passwd shadow group gshadow subuid subgid; do
    palisade_old=/etc/.palisade-$palisade_id-$palisade_name.old
    if [ -e "$palisade_old" ]; then mv -fT "$palisade_old" "/etc/$palisade_name" || palisade_bad="$palisade_bad /etc/$palisade_name"; fi
    if [ -f "$palisade_tx/etc.$palisade_name" ] && ! cmp -s "$palisade_tx/etc.$palisade_name" "/etc/$palisade_name"; then
      cp -a "$palisade_tx/etc.$palisade_name" "$palisade_old" && mv -fT "$palisade_old" "/etc/$palisade_name" ||
        palisade_bad="$palisade_bad /etc/$palisade_name"
    fi
  done
  rm -f /etc/passwd.lock
}

# The home of an account that was made is kept in the journal. Where that lies on a full disk of its own, a home in which
# nobody wrote anything goes; another one stays, under another name.
palisade_back_home() { # user, path
  mv -T -- "$2" "$palisade_tx/home-$1" 2>/dev/null && return
  rm -rf "$palisade_tx/home-$1"
  if diff -r /etc/skel "$2" >/dev/null 2>&1; then rm -rf -- "$2"; else mv -T -- "$2" "$2.palisade-$palisade_id"; fi
}

palisade_back_unit() { # unit, enabled before, active before
  case $2 in
  enabled) systemctl --quiet enable -- "$1" 9>&- ;;
  masked) systemctl --quiet mask -- "$1" 9>&- ;;
  disabled | not-found) systemctl --quiet disable -- "$1" 9>&- ;;
  *) ;;
  esac
  [ "$palisade_mode" = boot ] && return
  case $3 in
  active) systemctl start -- "$1" 9>&- ;;
  inactive | failed) systemctl stop -- "$1" 9>&- ;;
  *) ;;
  esac
}

palisade_back_bans() { # whether fail2ban ran before
  nft -f "$palisade_tx/old.bans" 9>&- || palisade_bad="$palisade_bad bans"
  case $1 in
  active) systemctl restart fail2ban.service 9>&- ;;
  *) systemctl stop fail2ban.service 9>&- ;;
  esac
}

# How it ended: in the journal, or where that cannot be written, in memory.
palisade_note() { # words
  if printf '%s\n' "$1" 2>/dev/null >"$palisade_tx/outcome"; then
    rm -f "/run/palisade-$palisade_id.outcome"
  else
    printf '%s\n' "$1" >"/run/palisade-$palisade_id.outcome"
  fi
}

palisade_noted() { cat "$palisade_tx/outcome" "/run/palisade-$palisade_id.outcome" 2>/dev/null; }

palisade_rollback() { # transaction, why: timer, asked, boot, late
  palisade_use "$1"
  palisade_mode=$2
  palisade_bad=
  if [ -s "$palisade_tx/worker" ]; then
    read -r palisade_pid palisade_start <"$palisade_tx/worker"
    if [ "$palisade_pid" != "$$" ] && [ "$(palisade_started "$palisade_pid")" = "$palisade_start" ]; then kill -KILL "$palisade_pid" 2>/dev/null; fi
  fi
  palisade_with_lock 15 || true
  # Asked under the lock: one who is asked while the transaction is being armed goes back once it is.
  if [ ! -d "$palisade_tx" ]; then
    palisade_reply "not-pending $palisade_id"
    return 0
  fi
  if [ "$(palisade_pending)" != "$palisade_id" ]; then
    # Confirmed, or back already: only what a killed run left is tidied.
    [ -f "$palisade_tx/swept" ] || palisade_clean "$palisade_tx" "$palisade_id"
    palisade_reply "not-pending $palisade_id"
    return 0
  fi
  if [ -f "$palisade_tx/switching" ]; then
    if [ "$palisade_mode" != boot ] && grep -q '^ruleset	' "$palisade_tx/steps"; then
      nft -f "$palisade_tx/old.ruleset" 9>&- || palisade_bad="$palisade_bad ruleset"
    fi
    # In memory, since the disk may be full; half a list must not pass for the whole of it.
    palisade_list=/run/palisade-$palisade_id.reversed
    tac "$palisade_tx/steps" >"$palisade_list" || {
      palisade_list=$palisade_tx/reversed
      tac "$palisade_tx/steps" >"$palisade_list" || palisade_list=$palisade_tx/steps
    }
    while IFS='	' read -r palisade_kind palisade_a palisade_b palisade_c; do
      case $palisade_kind in
      unit) palisade_back_unit "$palisade_a" "$palisade_b" "$palisade_c" ;;
      kernel) palisade_back_kernel "$palisade_a" "$palisade_b" ;;
      file) palisade_back_file "$palisade_a" "$palisade_b" "$palisade_c" ;;
      foreign) palisade_writer back "$palisade_tx/old.$palisade_a" "$palisade_b" || palisade_bad="$palisade_bad $palisade_b" ;;
      esac
    done <"$palisade_list"
  fi
  palisade_back_accounts
  palisade_wipe_secrets "$palisade_tx" "$palisade_id"
  # Names first, then what was staged, then the folders that were made for it, innermost first.
  while IFS='	' read -r palisade_kind palisade_a palisade_b palisade_c; do
    case $palisade_kind in
    file) rm -f -- "$(palisade_beside "$palisade_b" "$palisade_a" new)" "$(palisade_beside "$palisade_b" "$palisade_a" old)" ;;
    home) if [ -f "$palisade_tx/accounts" ] && [ -d "$palisade_b" ]; then
        rm -rf "$palisade_tx/home-$palisade_a"
        palisade_back_home "$palisade_a" "$palisade_b" || palisade_bad="$palisade_bad $palisade_b"
        rm -f "/var/mail/$palisade_a"
      fi ;;
    esac
  done <"$palisade_tx/steps"
  if [ -f "$palisade_tx/staging" ]; then
    sed -n 's/^folder	//p' "$palisade_tx/steps" | sort -r | while IFS= read -r palisade_folder; do rmdir -- "$palisade_folder" 2>/dev/null; done
  fi
  if [ -f "$palisade_tx/switching" ]; then
    if grep -q '^reload-units' "$palisade_tx/steps"; then systemctl daemon-reload 9>&-; fi
    if [ "$palisade_mode" != boot ] && grep -q '^bans	' "$palisade_tx/steps"; then
      palisade_back_bans "$(sed -n 's/^bans	//p' "$palisade_tx/steps")"
    fi
    if [ "$palisade_mode" != boot ] && grep -q '^reload-sshd' "$palisade_tx/steps"; then
      palisade_sshd_reload
      if ! palisade_sshd_alive; then
        systemctl restart ssh.service 9>&-
        palisade_sshd_alive || palisade_bad="$palisade_bad ssh.service"
      fi
    fi
  fi
  sync -f "$palisade_state" /etc
  if [ -n "$palisade_bad" ]; then
    # It stays pending, so that it is tried again: by its unit in a few seconds, at boot, or by the next run.
    palisade_note "rollback-failed$palisade_bad"
    palisade_reply "rollback-failed $palisade_id $palisade_bad"
    return 1
  fi
  palisade_note "rolled-back $palisade_mode"
  if ! mv -fT "$palisade_state/pending" "$palisade_state/rolled-back-$palisade_id"; then
    palisade_note "rollback-failed $palisade_state/pending"
    palisade_reply "rollback-failed $palisade_id $palisade_state/pending"
    return 1
  fi
  rm -f "/run/palisade-$palisade_id.reversed"
  if palisade_read "$palisade_tx/run" && [ "$(palisade_lease_field run)" = "$palisade_first" ]; then rm -f "$palisade_state/lease"; fi
  sync "$palisade_state"
  palisade_clean "$palisade_tx" "$palisade_id"
  palisade_reply "rolled-back $palisade_id $palisade_mode"
  if [ "$palisade_mode" != timer ]; then systemctl stop "palisade-rollback-$palisade_id.timer" 2>/dev/null 9>&-; fi
  return 0
}

# How a transaction stands.
palisade_outcome() { # transaction
  palisade_use "$1"
  palisade_left=-
  if [ "$(palisade_pending)" = "$1" ]; then
    palisade_word=pending
    palisade_read "$palisade_tx/deadline"
    palisade_left=$((${palisade_first:-0} - $(palisade_uptime)))
    # A rollback writes how it ended before it gives up being pending: the words count, not that there are any.
    case "$(palisade_noted | tail -n 1)" in rollback-failed*) palisade_word=rollback-failed ;; esac
  elif [ -f "$palisade_state/confirmed-$1" ]; then palisade_word=confirmed
  elif [ -f "$palisade_state/rolled-back-$1" ]; then palisade_word=rolled-back
  else palisade_word=none
  fi
  palisade_reply "outcome $palisade_word $palisade_left"
}
