# Downloads files of a release from where the inventory says that they are published, by their SHA-256. What is not there is
# left to be carried; what is there with other bytes than its name says is refused. A server that does not answer is not asked for
# the next one.
palisade_fetch() { # address of the folder, then SHA-256 and size of each ...
  umask 077
  mkdir -p "$palisade_folder/pool" || palisade_refuse state "$palisade_folder cannot be made"
  palisade_from=$1
  shift
  # apt downloads as an account that can do nothing else (_apt), into a folder of that account's.
  palisade_temporary=$(mktemp -d /var/tmp/palisade-fetch.XXXXXX) || palisade_refuse state "/var/tmp cannot be written to"
  trap 'rm -rf "$palisade_temporary"' EXIT
  trap 'exit 1' HUP INT TERM
  chown _apt "$palisade_temporary" || palisade_refuse state "there is no account _apt, as which apt downloads"
  while [ $# -ge 2 ]; do
    palisade_has "$1" || palisade_fetch_one "$1" "$2"
    shift 2
  done
  palisade_reply "fetched $palisade_release"
}
palisade_fetch_one() { # SHA-256, size
  palisade_file=$palisade_temporary/$1
  # No file may become longer than this one shall be, whatever the server sends: in blocks of 512 bytes, with room for what
  # apt writes beside it.
  if (
    ulimit -f "$(($2 / 512 + 129))"
    exec timeout 300 /usr/lib/apt/apt-helper -q -o Acquire::Retries=1 -o Acquire::http::Timeout=20 \
      -o Acquire::https::Timeout=20 download-file "$palisade_from/$1" "$palisade_file" </dev/null
  ) >"$palisade_folder/said" 2>&1; then
    palisade_taken "$palisade_file" "$2" "$1" ||
      palisade_refuse digest "$palisade_from has another file in the place of $1: it is not what was signed"
  else
    grep -q ' 404 ' "$palisade_folder/said" || palisade_refuse mirror "$(grep '^E:' "$palisade_folder/said" | head -n 1)"
  fi
  rm -f "$palisade_file"
}
