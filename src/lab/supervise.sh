# Keeps one guest running: boots it, boots it again when it reboots or its power fails, and ends when it powers
# itself off or when the file `want` says `off`. It runs as the first process of a process and a mount namespace of
# its own, so that killing it kills the guest and leaves no mount behind, whatever happened.
#
# Arguments: folder of the host, switch, base root, packages, control group (or empty), host name,
#            number in the lab, networks (`public`, `private` or both in one word), the lab's own archive
set -eu
folder=$1 switch=$2 base=$3 packages=$4 group=$5 host=$6 number=$7 networks=$8 archive=$9

if [ -n "$group" ]; then
  echo 0 > "$group/cgroup.procs"
fi
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn

# systemd-nspawn derives addresses of interfaces from this machine's id, which images of machines lack until they boot
if [ -e /etc/machine-id ] && [ "$(wc -c < /etc/machine-id)" -lt 32 ]; then
  mount --bind "$folder/upper/etc/machine-id" /etc/machine-id
fi

# a throwaway host need not wait for the disk; kernels before 5.10 do not know `volatile`
rm -rf "$folder/work"
mkdir "$folder/work"
layers="lowerdir=$base,upperdir=$folder/upper,workdir=$folder/work"
mount -t overlay overlay -o "$layers,volatile" "$folder/root" || mount -t overlay overlay -o "$layers" "$folder/root"

# systemd-nspawn runs in the switch, so that the ports that it makes appear there. The guest gets a new network
# namespace at every boot: a ruleset must not survive a reboot that loads none. Its ports keep their names, and with
# them the faults that were injected there. Hosts may run containers of their own: what runc calls is not forbidden.
plug() {
  until ip -n "$switch" link set "$1" master "$2" up 2>/dev/null; do sleep 0.01; done
}

failures=0
while [ "$(cat "$folder/want")" = on ]; do
  set --
  for network in $networks; do
    case $network in public) device=host0 ;; *) device=priv0 ;; esac
    port=h$number-$network
    ip -n "$switch" link delete "$port" 2>/dev/null || :
    plug "$port" "$network" &
    set -- "$@" "--network-veth-extra=$port:$device"
  done
  echo boot >> "$folder/boots"
  begun=$(date +%s)
  status=0
  SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_LOG_COLOR=0 nsenter --net="/run/netns/$switch" \
    systemd-nspawn --quiet --boot --directory="$folder/root" --machine="$host" --register=no --keep-unit "$@" \
    --bind-ro="$packages:/srv/packages" --bind-ro="$archive:/srv/lab" --link-journal=no --resolv-conf=off --timezone=off --console=read-only \
    --system-call-filter="bpf keyctl add_key request_key" \
    >> "$folder/console" 2>&1 < /dev/null || status=$?
  echo "ended with status $status" >> "$folder/console"
  case $status in
    0) echo off > "$folder/want" ;;
    133) failures=0 ;;
    *)
      if [ $(($(date +%s) - begun)) -lt 2 ]; then failures=$((failures + 1)); else failures=0; fi
      if [ "$failures" -ge 3 ]; then echo failed > "$folder/want"; fi
      ;;
  esac
done
