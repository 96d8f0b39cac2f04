# Downloads the packages of a release from the host's own sources, keeps those whose bytes are what was signed, and sends
# the ones that are asked for.
palisade_capture() { # SHA-256 of what is sent ...
  umask 077
  mkdir -p "$palisade_folder/pool" || palisade_refuse state "$palisade_folder cannot be made"
  palisade_need=
  palisade_bytes=0
  while read -r palisade_name palisade_version palisade_sum palisade_size; do
    palisade_has "$palisade_sum" && continue
    palisade_need="$palisade_need $palisade_name=$palisade_version"
    palisade_bytes=$((palisade_bytes + palisade_size))
  done <<END
$palisade_wanted
END
  if [ -n "$palisade_need" ]; then
    # They lie in /var/tmp and then in the pool, and a host that is full helps nobody.
    for palisade_place in /var/tmp "$palisade_folder"; do
      palisade_free=$(df --output=avail -B 1 "$palisade_place" | tail -n 1)
      [ "${palisade_free:-0}" -gt "$((palisade_bytes * 2 + 67108864))" ] ||
        palisade_refuse space "$palisade_place has $((${palisade_free:-0} / 1048576)) MiB free, and the packages want $((palisade_bytes * 2 / 1048576 + 64))"
    done
    palisade_temporary=$(mktemp -d /var/tmp/palisade-capture.XXXXXX) || palisade_refuse state "/var/tmp cannot be written to"
    trap 'rm -rf "$palisade_temporary"' EXIT
    trap 'exit 1' HUP INT TERM
    palisade_private_apt "$palisade_temporary" || palisade_refuse state "/var/tmp cannot be written to"
    palisade_apt apt-get update >"$palisade_temporary/said" 2>&1 ||
      palisade_refuse fetch "apt could not fetch its indexes: $(grep '^E:' "$palisade_temporary/said" | head -n 1)"
    mkdir "$palisade_temporary/files" && chown _apt "$palisade_temporary/files" && cd "$palisade_temporary/files" || exit 1
    # Names and versions hold nothing that the shell would take for more than a word. One that is gone must not keep the
    # others back.
    # shellcheck disable=SC2086
    palisade_apt apt-get download $palisade_need >"$palisade_temporary/said" 2>&1 ||
      for palisade_one in $palisade_need; do
        palisade_apt apt-get download "$palisade_one" >>"$palisade_temporary/said" 2>&1
      done
    for palisade_file in ./*.deb; do
      [ -f "$palisade_file" ] && [ ! -L "$palisade_file" ] || continue
      palisade_sum=$(timeout 300 sha256sum <"$palisade_file" | cut -c 1-64)
      palisade_size=$(printf '%s\n' "$palisade_wanted" | sed -n "s/^[^ ]* [^ ]* $palisade_sum //p" | head -n 1)
      [ -z "$palisade_size" ] || palisade_taken "$palisade_file" "$palisade_size" "$palisade_sum"
    done
    cd /
  fi
  while read -r palisade_name palisade_version palisade_sum palisade_size; do
    palisade_has "$palisade_sum" || palisade_reply "missing $palisade_name $palisade_version"
  done <<END
$palisade_wanted
END
  for palisade_sum in "$@"; do
    palisade_has "$palisade_sum" || continue
    palisade_reply "file $palisade_sum $(stat -c %s "$palisade_folder/pool/$palisade_sum")"
    cat "$palisade_folder/pool/$palisade_sum"
  done
  palisade_reply "captured $palisade_release"
}
