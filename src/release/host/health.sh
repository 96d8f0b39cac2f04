# What runs and what listens.
palisade_units() { systemctl show --property=Id,Type,MainPID,TriggeredBy,BusName,WantedBy,UnitFileState,ActiveState,SubState '*.service'; }
palisade_listeners() {
  palisade_said=$(ss -Hlntu) || return
  printf '%s\n' "$palisade_said" | sed 's/  */ /g' | cut -d ' ' -f 1,5
  printf 'looked\n'
}
