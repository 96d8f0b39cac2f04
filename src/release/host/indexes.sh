# Sends what signs the packages that this host's apt would install: of each archive its InRelease, as it was signed, and its index
# of packages, packed. The host's own apt stays as it is.
palisade_indexes() {
  umask 022
  palisade_temporary=$(mktemp -d /var/tmp/palisade-indexes.XXXXXX) || palisade_refuse state "/var/tmp cannot be written to"
  trap 'rm -rf "$palisade_temporary"' EXIT
  trap 'exit 1' HUP INT TERM
  palisade_private_apt "$palisade_temporary" || palisade_refuse state "/var/tmp cannot be written to"
  palisade_apt apt-get update >"$palisade_temporary/said" 2>&1 ||
    palisade_refuse fetch "apt could not fetch its indexes: $(grep '^E:' "$palisade_temporary/said" | head -n 1)"
  # shellcheck disable=SC2016
  palisade_apt apt-get indextargets --format '$(RELEASE) $(METAKEY) $(FILENAME)' 'Created-By: Packages' >"$palisade_temporary/targets" ||
    palisade_refuse fetch "apt does not say which indexes it has"
  while read -r palisade_suite palisade_path palisade_index; do
    # Every name in a folder of lists begins as its InRelease does; an index may be kept packed.
    palisade_signed=$(printf '%s' "$palisade_index" | sed "s#_$(printf '%s' "$palisade_path" | tr / _ | sed 's/[.]/[.]/g')\([.][a-z0-9]*\)\{0,1\}\$##")_InRelease
    if [ ! -f "$palisade_signed" ]; then
      palisade_reply "unsigned $palisade_suite $palisade_path"
      continue
    fi
    /usr/lib/apt/apt-helper cat-file "$palisade_index" | gzip -n >"$palisade_temporary/packed" ||
      palisade_refuse space "/var/tmp cannot be written to"
    palisade_reply "index $palisade_suite $palisade_path $(sha256sum <"$palisade_signed" | cut -c 1-64) $(sha256sum <"$palisade_temporary/packed" | cut -c 1-64)"
    for palisade_file in "$palisade_signed" "$palisade_temporary/packed"; do
      palisade_reply "file $(sha256sum <"$palisade_file" | cut -c 1-64) $(stat -L -c %s "$palisade_file")"
      cat "$palisade_file"
    done
  done <"$palisade_temporary/targets"
  palisade_reply "indexed $palisade_release"
}
