# Makes archives of what was carried, as those that signed them have it, and lets apt say what it would install from them. Whether
# an archive's signature is good apt itself decides, by the keyrings that this host's own sources name for that suite. Nothing is
# installed.
palisade_prepare() { # SHA-256 of the release's file
  umask 077
  mkdir -p "$palisade_folder/pool" "$palisade_folder/apt/lists/partial" "$palisade_folder/apt/archives/partial" "$palisade_folder/apt/preferences" ||
    palisade_refuse state "$palisade_folder cannot be made"
  rm -rf "$palisade_folder/archive" "$palisade_folder/trust"
  mkdir "$palisade_folder/archive" "$palisade_folder/trust" || palisade_refuse space "$palisade_folder cannot be written to"
  palisade_put release.yaml "$palisade_file" && palisade_put release.yaml.sig "$palisade_signature" &&
    palisade_put wanted "$palisade_wanted" && palisade_put archives "$palisade_archives" ||
    palisade_refuse space "$palisade_folder cannot be written to"
  [ "$(sha256sum <"$palisade_folder/release.yaml" | cut -c 1-64)" = "$1" ] || palisade_refuse digest "the release's file did not arrive as it was signed"
  : >"$palisade_folder/sources.list"
  palisade_put trust.pl "$palisade_trust_question" || palisade_refuse space "$palisade_folder cannot be written to"
  palisade_archive
  # This host's own pins come first, since apt takes the first that names a package. Of the archives' other packages none is wanted.
  cat /etc/apt/preferences /etc/apt/preferences.d/* >"$palisade_folder/apt/preferences/0-host" 2>/dev/null
  printf '\nPackage: *\nPin: origin ""\nPin-Priority: 50\n' >"$palisade_folder/apt/preferences/2-others"
  : >"$palisade_folder/apt/preferences/1-release"
  while read -r palisade_name palisade_to palisade_built palisade_sum palisade_size palisade_number palisade_path; do
    [ -n "$palisade_name" ] || continue
    grep -qF "sha256: \"$palisade_sum\"" "$palisade_folder/release.yaml" || palisade_refuse digest "the release's file does not name the SHA-256 of $palisade_name"
    palisade_has "$palisade_sum" || palisade_refuse digest "the file of $palisade_name is not what was signed"
    palisade_said=$(dpkg-deb -f "$palisade_folder/pool/$palisade_sum") || palisade_refuse digest "the file of $palisade_name is no package"
    for palisade_field in "Package: $palisade_name" "Version: $palisade_to" "Architecture: $palisade_built"; do
      printf '%s\n' "$palisade_said" | grep -qxF "$palisade_field" || palisade_refuse digest "the file of $palisade_name does not say \`$palisade_field\`"
    done
    if [ "$palisade_number" = local ]; then palisade_path=$palisade_sum.deb; fi
    palisade_place=$palisade_folder/archive/$palisade_number/$palisade_path
    mkdir -p "${palisade_place%/*}" && ln "$palisade_folder/pool/$palisade_sum" "$palisade_place" ||
      palisade_refuse space "$palisade_folder cannot be written to"
    if [ "$palisade_number" = local ]; then
      printf '%s\nFilename: ./%s\nSize: %s\nSHA256: %s\n\n' "$palisade_said" "$palisade_path" "$palisade_size" "$palisade_sum" >>"$palisade_folder/archive/local/Packages"
    fi
    printf 'Package: %s\nPin: version %s\nPin-Priority: 990\n\n' "$palisade_name" "$palisade_to" >>"$palisade_folder/apt/preferences/1-release"
  done <"$palisade_folder/wanted"
  if [ -e "$palisade_folder/archive/local/Packages" ]; then
    # No archive signs them: whoever signed the release did, file by file, with the reason that stands in it.
    printf 'Origin: palisade\nLabel: local\nSuite: release\nDate: %s\nSHA256:\n %s %s Packages\n' "$(date -Ru)" \
      "$(sha256sum <"$palisade_folder/archive/local/Packages" | cut -c 1-64)" "$(stat -c %s "$palisade_folder/archive/local/Packages")" >"$palisade_folder/archive/local/Release"
    printf 'deb [trusted=yes] file:%s/archive/local ./\n' "$palisade_folder" >>"$palisade_folder/sources.list"
  fi
  # Everything is in this folder: nothing is fetched, so that apt needs no account that can do less.
  cat >"$palisade_folder/apt.conf" <<END
Dir::Etc::SourceList "$palisade_folder/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "$palisade_folder/apt/preferences/";
Dir::State::Lists "$palisade_folder/apt/lists/";
Dir::Cache "$palisade_folder/apt/";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
APT::Default-Release "";
Acquire::Languages "none";
DPkg::Lock::Timeout "300";
DPkg::Options { "--force-confold"; };
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
  palisade_part indexed palisade_carried_apt apt-get update
  palisade_part simulated palisade_simulated
  palisade_part compared palisade_compared
  palisade_part free palisade_free
  palisade_reply "prepared $palisade_release"
}
# The archives, as sources name them. apt asks a folder for an index by its SHA-256, since what it would ask for by its name is the
# packed one of the archive.
palisade_archive() {
  while read -r palisade_kind palisade_number palisade_suite palisade_sum palisade_path; do
    [ -n "$palisade_kind" ] || continue
    grep -qF "sha256: \"$palisade_sum\"" "$palisade_folder/release.yaml" || palisade_refuse digest "the release's file does not name the SHA-256 of an index of $palisade_suite"
    palisade_has "$palisade_sum" || palisade_refuse digest "an index of $palisade_suite is not what was signed"
    case $palisade_suite in
    */) palisade_place=$palisade_folder/archive/$palisade_number/$palisade_suite ;;
    *) palisade_place=$palisade_folder/archive/$palisade_number/dists/$palisade_suite/ ;;
    esac
    if [ "$palisade_kind" = archive ]; then
      mkdir -p "$palisade_place" && cp "$palisade_folder/pool/$palisade_sum" "${palisade_place}InRelease" ||
        palisade_refuse space "$palisade_folder cannot be written to"
      mkdir "$palisade_folder/trust/$palisade_number" &&
        perl "$palisade_folder/trust.pl" "$palisade_suite" "$palisade_folder/trust/$palisade_number" >"$palisade_folder/trust/$palisade_number/keyrings" ||
        palisade_refuse state "it is not known which keyrings this host trusts for $palisade_suite"
      [ -s "$palisade_folder/trust/$palisade_number/keyrings" ] ||
        palisade_refuse trust "no source of this host has the suite $palisade_suite with a keyring, so that it trusts nobody to sign it"
      palisade_trust=$(paste -s -d , "$palisade_folder/trust/$palisade_number/keyrings")
      continue
    fi
    case $palisade_path in
    */*) mkdir -p "$palisade_place${palisade_path%/*}/by-hash/SHA256" && palisade_by=$palisade_place${palisade_path%/*}/by-hash/SHA256 ;;
    *) mkdir -p "${palisade_place}by-hash/SHA256" && palisade_by=${palisade_place}by-hash/SHA256 ;;
    esac
    gzip -dc "$palisade_folder/pool/$palisade_sum" >"$palisade_by/new" && mv "$palisade_by/new" "$palisade_by/$(sha256sum <"$palisade_by/new" | cut -c 1-64)" ||
      palisade_refuse space "$palisade_folder cannot be written to"
    case $palisade_suite in
    */) palisade_component= ;;
    *) palisade_component=" ${palisade_path%/binary-*}" ;;
    esac
    # It was current when the release was planned; prod follows weeks behind.
    printf 'deb [signed-by=%s by-hash=force check-valid-until=no] file:%s/archive/%s %s%s\n' "$palisade_trust" "$palisade_folder" "$palisade_number" \
      "$palisade_suite" "$palisade_component" >>"$palisade_folder/sources.list"
  done <"$palisade_folder/archives"
}
palisade_simulated() {
  palisade_carried_apt apt-get -s --with-new-pkgs upgrade >"$palisade_folder/simulated" || return
  sed '/^Conf /d' "$palisade_folder/simulated"
}
# Each wanted package: how its version there stands to the wanted one, and the kilobytes that both take installed.
palisade_compared() {
  while read -r palisade_name palisade_to palisade_built palisade_sum palisade_size palisade_number palisade_path; do
    [ -n "$palisade_name" ] || continue
    palisade_there=$(palisade_version "$palisade_name")
    if [ -z "$palisade_there" ]; then
      palisade_how=absent
    elif [ "$palisade_there" = "$palisade_to" ]; then
      palisade_how=same
    elif dpkg --compare-versions "$palisade_there" lt "$palisade_to"; then
      palisade_how=older
    else
      palisade_how=newer
    fi
    palisade_new=$(dpkg-deb -f "$palisade_folder/pool/$palisade_sum" Installed-Size)
    palisade_old=$(dpkg-query -W -f '${Installed-Size}' "$palisade_name" 2>/dev/null)
    printf '%s %s %s %s %s\n' "$palisade_name" "$palisade_how" "${palisade_there:--}" "${palisade_new:-0}" "${palisade_old:-0}"
  done <"$palisade_folder/wanted"
  printf 'looked\n'
}
palisade_free() {
  df --output=avail -k / /usr /var /boot || return
  printf 'looked\n'
}
