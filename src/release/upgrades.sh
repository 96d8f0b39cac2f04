umask 022
palisade_dir=$(mktemp -d /var/tmp/palisade-plan.XXXXXX) || exit 1
trap 'rm -rf "$palisade_dir"' EXIT
trap 'exit 1' HUP INT TERM
palisade_private_apt "$palisade_dir" || exit 1
# Simulated without a terminal: nothing is asked, nothing is changed.
palisade_simulated() {
  palisade_apt apt-get -s --with-new-pkgs upgrade >"$palisade_dir/simulated" || return
  sed -n 's/^Inst \([^ ]*\) \(\[[^]]*\] \)\{0,1\}(\([^ ]*\) .*/\1=\3/p' "$palisade_dir/simulated" >"$palisade_dir/chosen"
  sed -n 's/^Inst \([^ ]*\) \[.*/\1/p' "$palisade_dir/simulated" >"$palisade_dir/replaced"
  sed '/^Conf /d' "$palisade_dir/simulated"
}
palisade_shown() {
  if [ -s "$palisade_dir/chosen" ]; then
    # Names and versions hold nothing that the shell would take for more than a word.
    # shellcheck disable=SC2046
    palisade_said=$(palisade_apt apt-cache show $(cat "$palisade_dir/chosen")) || return
    printf '%s\n' "$palisade_said" | sed -n '/^Package: /p; /^Version: /p; /^Architecture: /p; /^Size: /p; /^SHA256: /p; s/^$/end/p'
    printf 'end\n'
  fi
  printf 'looked\n'
}
# The services whose processes run a file of a package that is to be replaced. /usr is left out of both sides, since
# dpkg and the kernel disagree about it where / and /usr were merged.
palisade_running() {
  if [ -s "$palisade_dir/replaced" ]; then
    palisade_said=$(xargs dpkg-query -L <"$palisade_dir/replaced") || return
    printf '%s\n' "$palisade_said" | sed 's#^/usr/#/#' | sort -u >"$palisade_dir/files"
    for palisade_process in /proc/[0-9]*; do
      palisade_unit=$(palisade_service_of "$palisade_process")
      if [ -n "$palisade_unit" ]; then
        { readlink "$palisade_process/exe"; sed -n 's#^[^/]*\(/.*\)$#\1#p' "$palisade_process/maps"; } 2>/dev/null |
          sed 's# (deleted)$##; s#^/usr/#/#' | sort -u | comm -12 - "$palisade_dir/files" | grep -q . &&
          printf '%s\n' "$palisade_unit"
      fi
    done | sort -u
  fi
  printf 'looked\n'
}
palisade_part fetched palisade_apt apt-get update
palisade_part architecture dpkg --print-architecture
palisade_part simulated palisade_simulated
palisade_part shown palisade_shown
palisade_part held palisade_apt apt-mark showhold
palisade_part running palisade_running
