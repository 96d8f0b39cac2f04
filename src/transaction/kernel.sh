# Settings of the running kernel within a change: what they were is expected and journalled, what they shall be is
# written, and what they were is written back. It follows host.sh wherever that goes.

# The value of a kernel setting, its words joined by one space, in palisade_value: no process is started but cat, since a
# change reads some hundred of them. cat, since these files give nothing to a second read, such as the shell's own makes.
palisade_kernel() { # path below /proc/sys
  palisade_value=$(cat "/proc/sys/$1" 2>/dev/null) || return 1
  set -f
  set -- $palisade_value
  set +f
  palisade_value=$*
}

palisade_expect_kernel() { # path below /proc/sys, value
  palisade_kernel "$1" && [ "$palisade_value" = "$2" ] || palisade_changed "the kernel setting $1"
  palisade_step kernel "$1" "$2"
}

palisade_set_kernel() { # path below /proc/sys, value
  printf '%s\n' "$2" 2>/dev/null >"/proc/sys/$1" && palisade_kernel "$1" && [ "$palisade_value" = "$2" ]
}

palisade_switch_kernel() { # path below /proc/sys, value
  palisade_set_kernel "$1" "$2" 2>/dev/null || palisade_refuse switch "the kernel setting $1 did not become $2"
}

# At boot too: what the new file says may have been read before this. A setting that is gone, with its network interface,
# needs nothing.
palisade_back_kernel() { # path below /proc/sys, value before
  [ -e "/proc/sys/$1" ] || return 0
  palisade_kernel "$1" && [ "$palisade_value" = "$2" ] && return 0
  palisade_set_kernel "$1" "$2" 2>/dev/null || palisade_bad="$palisade_bad $1"
}
