# How far the host is with a release. Nothing changes.
palisade_journal() {
  [ ! -e "$palisade_folder/journal" ] || base64 -w 0 "$palisade_folder/journal"
  printf '\nlooked\n'
}
palisade_pool() {
  for palisade_file in "$palisade_folder"/pool/*; do
    palisade_name=${palisade_file##*/}
    case $palisade_name in
    *.part) printf 'part %s %s\n' "${palisade_name%.part}" "$(stat -c %s "$palisade_file")" ;;
    *.*) ;;
    *) palisade_has "$palisade_name" && printf 'whole %s\n' "$palisade_name" ;;
    esac
  done
  printf 'looked\n'
}
palisade_lines() { # file of the release's folder
  [ ! -e "$palisade_folder/$1" ] || cat "$palisade_folder/$1"
  printf 'looked\n'
}
# Not by apt-mark, which writes what it read to the disk: that may be full.
palisade_held() {
  palisade_said=$(dpkg-query -W -f '${db:Status-Want} ${Architecture} ${Package}\n') || return
  printf '%s\n' "$palisade_said" | sed -n "s/^hold \($(dpkg --print-architecture)\|all\) //p"
}
palisade_part journal palisade_journal
palisade_part pool palisade_pool
palisade_part unit systemctl show -p ActiveState --value "$(palisade_unit)"
palisade_part architecture dpkg --print-architecture
palisade_part packages dpkg-query -W -f '${db:Status-Status} ${binary:Package} ${Version}\n'
palisade_part held palisade_held
palisade_part free df --output=avail -B 1 /var/lib/palisade
palisade_part said tail -n 5 "$palisade_folder/log"
palisade_part installed palisade_lines installed
palisade_part conffiles palisade_lines dpkg-dist
palisade_part denied palisade_lines denied
palisade_part reboot palisade_lines reboot
