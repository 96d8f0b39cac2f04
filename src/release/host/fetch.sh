# Downloads packages of a release from where the inventory says that they are published, by their SHA-256. What is not there is
# left to be carried; what is there with other bytes than its name says is refused. A server that does not answer is not asked for
# the next one.
palisade_fetch() { # address of the folder, then SHA-256 and size of each ...
  umask 077
  mkdir -p "$palisade_folder/pool" || palisade_refuse state "$palisade_folder cannot be made"
  palisade_from=$1
  shift
  while [ $# -ge 2 ]; do
    palisade_has "$1" || palisade_fetch_one "$1" "$2"
    shift 2
  done
  palisade_reply "fetched $palisade_release"
}
palisade_fetch_one() { # SHA-256, size
  palisade_file=$palisade_folder/pool/$1.fetched
  rm -f "$palisade_file"
  # No file may become longer than this one shall be, whatever the server sends: in blocks of 512 bytes, with room for what
  # apt writes beside it.
  if (
    ulimit -f "$(($2 / 512 + 129))"
    exec timeout 300 /usr/lib/apt/apt-helper -q -o APT::Sandbox::User=root -o Acquire::Retries=1 -o Acquire::http::Timeout=20 \
      -o Acquire::https::Timeout=20 download-file "$palisade_from/$1.deb" "$palisade_file" </dev/null
  ) >"$palisade_folder/said" 2>&1 && [ -f "$palisade_file" ]; then
    [ "$(sha256sum <"$palisade_file" | cut -c 1-64)" = "$1" ] || {
      rm -f "$palisade_file"
      palisade_refuse digest "$palisade_from has another file in the place of $1.deb: it is not what was signed"
    }
    sync "$palisade_file" && mv "$palisade_file" "$palisade_folder/pool/$1.deb" ||
      palisade_refuse space "a package could not be written to $palisade_folder/pool"
  else
    rm -f "$palisade_file"
    grep -q ' 404 ' "$palisade_folder/said" || palisade_refuse mirror "$(grep '^E:' "$palisade_folder/said" | head -n 1)"
  fi
}
