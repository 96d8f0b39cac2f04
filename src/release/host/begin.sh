# What an earlier file of the same name left has nothing to say about this one. Its journal stays.
palisade_begin() { # SHA-256 of the release's file
  umask 077
  mkdir -p "$palisade_folder" || palisade_refuse state "$palisade_folder cannot be made"
  if [ -e "$palisade_folder/release.yaml" ] && [ "$(sha256sum <"$palisade_folder/release.yaml" | cut -c 1-64)" != "$1" ]; then
    for palisade_name in release.yaml release.yaml.sig wanted approved all installed health.before began dpkg-dist denied reboot; do
      rm -f "$palisade_folder/$palisade_name"
    done
  fi
}
