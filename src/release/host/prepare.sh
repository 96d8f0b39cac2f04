# Makes an archive of what was carried, and lets apt say what it would install from it. Nothing is installed.
palisade_prepare() { # SHA-256 of the release's file
  umask 077
  mkdir -p "$palisade_folder/pool" "$palisade_folder/apt/lists/partial" "$palisade_folder/apt/archives/partial" ||
    palisade_refuse state "$palisade_folder cannot be made"
  palisade_put release.yaml "$palisade_file" && palisade_put release.yaml.sig "$palisade_signature" && palisade_put wanted "$palisade_wanted" ||
    palisade_refuse space "$palisade_folder cannot be written to"
  [ "$(sha256sum <"$palisade_folder/release.yaml" | cut -c 1-64)" = "$1" ] || palisade_refuse digest "the release's file did not arrive as it was signed"
  : >"$palisade_folder/pool/Packages"
  while read -r palisade_name palisade_to palisade_built palisade_sum palisade_size; do
    [ -n "$palisade_name" ] || continue
    grep -qF "sha256: \"$palisade_sum\"" "$palisade_folder/release.yaml" || palisade_refuse digest "the release's file does not name the SHA-256 of $palisade_name"
    palisade_has "$palisade_sum" || palisade_refuse digest "the file of $palisade_name is not what was signed"
    palisade_said=$(dpkg-deb -f "$palisade_folder/pool/$palisade_sum.deb") || palisade_refuse digest "the file of $palisade_name is no package"
    for palisade_field in "Package: $palisade_name" "Version: $palisade_to" "Architecture: $palisade_built"; do
      printf '%s\n' "$palisade_said" | grep -qxF "$palisade_field" || palisade_refuse digest "the file of $palisade_name does not say \`$palisade_field\`"
    done
    printf '%s\nFilename: ./%s.deb\nSize: %s\nSHA256: %s\n\n' "$palisade_said" "$palisade_sum" "$palisade_size" "$palisade_sum" >>"$palisade_folder/pool/Packages"
  done <"$palisade_folder/wanted"
  printf 'Origin: palisade\nLabel: palisade\nSuite: release\nDate: %s\nSHA256:\n %s %s Packages\n' "$(date -Ru)" \
    "$(sha256sum <"$palisade_folder/pool/Packages" | cut -c 1-64)" "$(stat -c %s "$palisade_folder/pool/Packages")" >"$palisade_folder/pool/Release"
  # What apt trusts here are files whose SHA-256 stands in the release that somebody signed.
  printf 'deb [trusted=yes] file:%s/pool ./\n' "$palisade_folder" >"$palisade_folder/sources.list"
  cat >"$palisade_folder/apt.conf" <<END
Dir::Etc::SourceList "$palisade_folder/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$palisade_folder/apt/lists/";
Dir::Cache "$palisade_folder/apt/";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
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
palisade_simulated() {
  palisade_carried_apt apt-get -s --with-new-pkgs upgrade >"$palisade_folder/simulated" || return
  sed '/^Conf /d' "$palisade_folder/simulated"
}
# Each wanted package: how its version there stands to the wanted one, and the kilobytes that both take installed.
palisade_compared() {
  while read -r palisade_name palisade_to palisade_built palisade_sum palisade_size; do
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
    palisade_new=$(dpkg-deb -f "$palisade_folder/pool/$palisade_sum.deb" Installed-Size)
    palisade_old=$(dpkg-query -W -f '${Installed-Size}' "$palisade_name" 2>/dev/null)
    printf '%s %s %s %s %s\n' "$palisade_name" "$palisade_how" "${palisade_there:--}" "${palisade_new:-0}" "${palisade_old:-0}"
  done <"$palisade_folder/wanted"
  printf 'looked\n'
}
palisade_free() {
  df --output=avail -k / /usr /var /boot || return
  printf 'looked\n'
}
