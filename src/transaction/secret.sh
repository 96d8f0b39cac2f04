
# --- secrets -----------------------------------------------------------------------------------------------------

# A secret is a file whose old and new bytes are compared by a keyed digest, and are on the disk only while the host can go
# back: they are written once it is armed, and overwritten when the change is confirmed or taken back, by whoever gets to it
# first: the confirmation, the timer, the next run, or the next boot, for which `unwiped` names the transaction.

palisade_is_as_seen() { # path, key, mode, owner, group, digest
  palisade_said=$(palisade_unseen="mac-key $2" perl -e "$palisade_writer_text" mac "$1" 9>&-) && [ "$palisade_said" = "$3 $4 $5 $6" ]
}

palisade_expect_secret() { # number, path, key, then nothing for no file, or mode, owner, group and digest
  [ -n "$3" ] || palisade_give_up secret "a preview shows no secret, and changes nothing"
  if palisade_is_foreign "$2"; then
    palisade_give_up foreign "a folder above $2 may be written by another account than root"
  fi
  if [ $# -eq 3 ]; then
    if [ -e "$2" ] || [ -L "$2" ]; then palisade_changed "$2"; fi
    palisade_note_folders "$2"
    palisade_step file "$1" "$2" absent
  else
    palisade_is_as_seen "$2" "$3" "$4" "$5" "$6" "$7" || palisade_changed "$2"
    palisade_step file "$1" "$2" present
  fi
  palisade_step secret "$1" "$2"
}

palisade_stage_secret() { # number, path, owner, group, mode, base64, key, then as above
  ( umask 077
    printf '%s\n' "$palisade_id" >"$palisade_state/unwiped" && sync "$palisade_state/unwiped" "$palisade_state" || exit 1
    if [ $# -gt 7 ]; then cp -a -- "$2" "$palisade_tx/old.$1" || exit 1; fi
    printf '%s %s %s\n' "$5" "$3" "$4" >"$palisade_tx/new.$1.mode" && printf '%s' "$6" | base64 -d >"$palisade_tx/new.$1"
  ) || palisade_refuse space "the copies of $2 could not be kept"
  # what was copied is what was seen, or nothing is switched
  if [ $# -gt 7 ]; then
    palisade_is_as_seen "$palisade_tx/old.$1" "$7" "$8" "$9" "${10}" "${11}" || palisade_refuse changed "$2 is not what the plan saw; make a new plan"
  fi
}

palisade_is_secret() { grep -q "^secret	$1	" "$palisade_tx/steps"; } # number

# Overwritten in place before it goes. A file that is linked elsewhere too is somebody else's, and only loses this name.
palisade_wipe() { # paths
  for palisade_path in "$@"; do
    if [ -f "$palisade_path" ] && [ ! -L "$palisade_path" ] && [ "$(stat -c %h -- "$palisade_path")" = 1 ]; then
      shred -n 1 -- "$palisade_path" 9>&-
    fi
    rm -f -- "$palisade_path"
  done
}

# The copies beside the targets, and those in the journal where there is a third word.
palisade_wipe_secrets() { # folder of the journal, transaction, journal
  while IFS='	' read -r palisade_kind palisade_n palisade_at palisade_rest; do
    [ "$palisade_kind" = secret ] || continue
    set -- "$1" "$2" "${3:-}" "${palisade_at%/*}/.palisade-$2-$palisade_n"
    palisade_wipe "$4.old" "$4.new"
    if [ -n "$3" ]; then palisade_wipe "$1/old.$palisade_n" "$1/new.$palisade_n"; fi
  done <"$1/steps"
  if [ -n "${3:-}" ] && palisade_read "$palisade_state/unwiped" && [ "$palisade_first" = "$2" ]; then
    rm -f "$palisade_state/unwiped"
  fi
}
