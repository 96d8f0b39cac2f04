# Run at boot by palisade-recover.service, only where a transaction was armed when the host went down, or where copies of
# secrets were left behind one that had ended.
palisade_state=/var/lib/palisade
for palisade_mark in pending unwiped; do
  if [ -e "$palisade_state/$palisade_mark" ]; then
    palisade_found=$(cat "$palisade_state/$palisade_mark") || exit 1
    /bin/sh "$palisade_state/tx/$palisade_found/rollback" boot || exit 1
  fi
done
