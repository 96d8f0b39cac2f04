# Begins to install what was approved, by a unit of its own that goes on when the connection is lost. Where it runs already
# nothing is begun anew.
palisade_start() {
  umask 077
  if systemctl is-active --quiet "$(palisade_unit)"; then
    palisade_reply "started $palisade_release already"
    return
  fi
  if [ ! -s "$palisade_folder/health.before" ]; then
    { palisade_part before-units palisade_units; palisade_part before-listeners palisade_listeners; } >"$palisade_folder/health.before.new" &&
      sync "$palisade_folder/health.before.new" && mv "$palisade_folder/health.before.new" "$palisade_folder/health.before" ||
      palisade_refuse space "$palisade_folder cannot be written to"
  fi
  # What a run before this one was to install belongs to it too.
  if [ -s "$palisade_folder/approved" ]; then
    palisade_approved=$(printf '%s\n' "$palisade_approved" | sort -u - "$palisade_folder/approved")
  fi
  palisade_put approved "$palisade_approved
" && palisade_put all "$palisade_all" && palisade_put asks "$palisade_asks" && palisade_put never "$palisade_never" && palisade_put run "$palisade_run" ||
    palisade_refuse space "$palisade_folder cannot be written to"
  # What was left for a boot that did not come would be in the way.
  palisade_unwary
  # Whoever took the host since, as our time was over, would have the unit beside their own work.
  palisade_with_lock 10 || palisade_refuse busy "the lock on $palisade_state is taken"
  [ -z "$(palisade_pending)" ] && palisade_lease_holds && [ "$(palisade_lease_field run)" = "$palisade_holds" ] ||
    palisade_refuse leased "somebody else took the host meanwhile"
  systemd-run --quiet --collect --unit="$(palisade_unit)" --property=KillMode=process --property=TimeoutStopSec=10min \
    /bin/sh "$palisade_folder/run" "$palisade_release" 9>&- ||
    palisade_refuse unit "the unit that installs could not be started"
  exec 9>&-
  palisade_reply "started $palisade_release"
}
