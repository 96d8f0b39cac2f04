# A piece of a package or index, behind those that are there. With its last one it must be what was signed.
palisade_take() { # sha256, bytes of the whole, offset, piece in base64
  umask 077
  mkdir -p "$palisade_folder/pool" || palisade_refuse state "$palisade_folder cannot be made"
  palisade_file=$palisade_folder/pool/$1
  palisade_had=$(stat -c %s "$palisade_file.part" 2>/dev/null || echo 0)
  [ "$palisade_had" = "$3" ] || palisade_refuse offset "$palisade_had bytes of $1 are there, not $3"
  printf '%s' "$4" | base64 -d >>"$palisade_file.part" || palisade_refuse space "a package could not be written to $palisade_folder/pool"
  if [ "$(stat -c %s "$palisade_file.part")" -ge "$2" ]; then
    if [ "$(sha256sum <"$palisade_file.part" | cut -c 1-64)" != "$1" ]; then
      rm -f "$palisade_file.part"
      palisade_refuse digest "what arrived is not the package with SHA-256 $1"
    fi
    sync "$palisade_file.part" && mv "$palisade_file.part" "$palisade_file" ||
      palisade_refuse space "a package could not be written to $palisade_folder/pool"
  fi
}
