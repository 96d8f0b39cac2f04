# Settings of the running kernel within a change: what they were is expected and journalled, what they shall be is
# written, and what they were is written back. It follows host.sh wherever that goes.

# The value of a kernel setting, its words joined by one space, in palisade_value. By cat, since these files give nothing
# to a second read, such as the shell's own makes.
palisade_kernel() { # path below /proc/sys
  palisade_value=$(cat "/proc/sys/$1" 2>/dev/null) || return 1
  set -f
  set -- $palisade_value
  set +f
  palisade_value=$*
}

# The first of these settings that is not as it is said; status 0 where all are. One process reads them all.
palisade_kernel_differs() { # path below /proc/sys, value, and so on
  perl -e '
    while (my ($path, $wanted) = splice @ARGV, 0, 2) {
      my $file;
      my $now = open($file, "<", "/proc/sys/$path") && <$file>;
      next if defined $now && join(" ", split " ", $now) eq $wanted;
      print $path;
      exit 1;
    }' -- "$@"
}

palisade_expect_kernel() { # path below /proc/sys, value, and so on
  palisade_found=$(palisade_kernel_differs "$@") || palisade_changed "the kernel setting $palisade_found"
  while [ $# -gt 0 ]; do
    palisade_step kernel "$1" "$2"
    shift 2
  done
}

palisade_set_kernel() { # path below /proc/sys, value
  printf '%s\n' "$2" 2>/dev/null >"/proc/sys/$1"
}

palisade_switch_kernel() { # path below /proc/sys, value, and so on
  palisade_found=$(
    palisade_path=
    for palisade_word in "$@"; do
      if [ -z "$palisade_path" ]; then palisade_path=$palisade_word; continue; fi
      palisade_set_kernel "$palisade_path" "$palisade_word" 2>/dev/null || { printf '%s' "$palisade_path"; exit 1; }
      palisade_path=
    done
    palisade_kernel_differs "$@"
  ) || palisade_refuse switch "the kernel setting $palisade_found did not become what it shall be"
}

# At boot too: what the new file says may have been read before this. A setting that is gone, with its network interface,
# needs nothing.
palisade_back_kernel() { # path below /proc/sys, value before
  [ -e "/proc/sys/$1" ] || return 0
  palisade_kernel "$1" && [ "$palisade_value" = "$2" ] && return 0
  palisade_set_kernel "$1" "$2" 2>/dev/null && palisade_kernel "$1" && [ "$palisade_value" = "$2" ] || palisade_bad="$palisade_bad $1"
}
