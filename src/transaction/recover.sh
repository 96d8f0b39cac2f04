# Run at boot by palisade-recover.service, only where a transaction was armed when the host went down.
palisade_pending=$(cat /var/lib/palisade/pending) || exit 1
exec /bin/sh "/var/lib/palisade/tx/$palisade_pending/rollback" boot
