# Keeps one virtual machine running, as supervise.sh does a container: boots it, boots it again when it reboots or its
# power fails, and ends when it powers itself off or when the file `want` says `off`. It is the first process of a
# process and a mount namespace of its own, so that killing it kills the machine and leaves no mount behind.
#
# It is the machine's boot loader too: before each boot it reads the machine's own /boot, which is a disk of its own,
# takes the newest kernel there that has an initramfs, and gives it the line in /boot/cmdline. So an installed kernel
# is the one that the next boot runs, and nothing has to be written into a boot sector.
#
# Arguments: folder of the host, switch, tools' root, base, control group (or empty), number in the lab,
#            networks (`public`, `private` or both in one word), memory in MiB, accelerator (kvm or tcg),
#            further disks (`MEBIBYTES[r]` each, in one word; r: removable)
set -eu
folder=$1 switch=$2 tools=$3 base=$4 group=$5 number=$6 networks=$7 memory=$8 accelerator=$9
shift 9
disks=$1

if [ -n "$group" ]; then
  echo 0 > "$group/cgroup.procs"
fi
# within the tools' root: /mnt is the host's folder, /media the base
mount --bind "$folder" "$tools/mnt"
mount --bind -o ro "$base" "$tools/media"
mount --rbind /dev "$tools/dev"
tool() { chroot "$tools" "$@"; }

# disks: the system's stand on the base, and hold what the machine changes
make_disks() {
  [ -e "$folder/root.qcow2" ] || tool qemu-img create -q -f qcow2 -b /media/root.img -F raw /mnt/root.qcow2
  [ -e "$folder/boot.qcow2" ] || tool qemu-img create -q -f qcow2 -b /media/boot.img -F raw /mnt/boot.qcow2
  at=0
  for disk in $disks; do
    at=$((at + 1))
    [ -e "$folder/data$at.qcow2" ] || tool qemu-img create -q -f qcow2 "/mnt/data$at.qcow2" "${disk%r}M"
  done
}
make_disks

drive() { # id, file, format, further options of the device
  set -- "$1" "$2" "$3" "${4:-}"
  printf '%s\n' -blockdev "driver=$3,node-name=$1,file.driver=file,file.filename=$2,file.locking=off,cache.no-flush=on,discard=unmap"
  case $4 in
    *removable*) printf '%s\n' -device "scsi-hd,drive=$1,serial=$1,removable=on" ;;
    *) printf '%s\n' -device "virtio-blk-pci,drive=$1,serial=$1" ;;
  esac
}

# what does not change between boots, one argument a line
{
  drive boot /mnt/boot.qcow2 qcow2
  drive root /mnt/root.qcow2 qcow2
  printf '%s\n' -blockdev "driver=raw,node-name=packages,read-only=on,file.driver=file,file.filename=/media/packages.img,file.locking=off"
  printf '%s\n' -device virtio-blk-pci,drive=packages,serial=packages -device virtio-scsi-pci
  at=0
  for disk in $disks; do
    at=$((at + 1))
    case $disk in *r) drive "data$at" "/mnt/data$at.qcow2" qcow2 removable ;; *) drive "data$at" "/mnt/data$at.qcow2" qcow2 ;; esac
  done
  for network in $networks; do
    case $network in public) last=01 ;; *) last=02 ;; esac
    port=h$number-$network
    printf '%s\n' -netdev "tap,id=$network,ifname=$port,script=no,downscript=no"
    printf '%s\n' -device "virtio-net-pci,netdev=$network,romfile=,mac=52:54:00:00:$(printf %02x "$number"):$last"
  done
} > "$folder/arguments"

failures=0
while [ "$(cat "$folder/want")" = on ]; do
  # one that begins with the snapshot of another finds its disks, and what qemu was given, in its folder (warm.rs)
  delivery=/mnt/delivery.tar snapshot=
  if [ -e "$folder/warm" ] && [ ! -s "$folder/boots" ]; then
    delivery=/mnt/warm.tar snapshot=warm
  else
    # the boot loader
    tool qemu-img convert -O raw /mnt/boot.qcow2 /mnt/boot.raw
    tool debugfs -R 'ls -p /' /mnt/boot.raw 2>/dev/null | cut -d / -f 6 > "$folder/boot.list"
    kernel=
    for version in $(sed -n 's/^vmlinuz-//p' "$folder/boot.list" | sort -V); do
      if grep -qxF "initrd.img-$version" "$folder/boot.list"; then kernel=$version; fi
    done
    for file in "vmlinuz-$kernel kernel" "initrd.img-$kernel initrd" "cmdline cmdline"; do
      tool debugfs -R "dump /${file% *} /mnt/${file#* }" /mnt/boot.raw 2>/dev/null
    done
    rm -f "$folder/boot.raw"
  fi

  for network in $networks; do
    port=h$number-$network
    ip -n "$switch" link delete "$port" 2>/dev/null || :
    ip -n "$switch" tuntap add dev "$port" mode tap
    ip -n "$switch" link set "$port" master "$network" up
  done
  set --
  while IFS= read -r argument; do set -- "$@" "$argument"; done < "$folder/arguments"
  # a first boot finds what makes it this machine and no other
  if [ ! -s "$folder/boots" ]; then
    set -- "$@" -blockdev driver=raw,node-name=delivery,read-only=on,file.driver=file,file.filename=$delivery \
      -device virtio-blk-pci,drive=delivery,serial=delivery
  fi
  if [ -n "$snapshot" ]; then set -- "$@" -loadvm "$snapshot"; fi
  # an emulated machine has no TSC that Linux trusts, and would ask a slow clock instead at every look; it gains nothing
  # from what works around faults of real processors, and its page tables need no fifth level
  case $accelerator in
    kvm) processor=host emulated= ;;
    *) processor=max,la57=off,svm=off emulated=' tsc=reliable mitigations=off nokaslr' ;;
  esac
  rm -f "$folder/agent" "$folder/console-in" "$folder/events" "$folder/orders"
  mkfifo "$folder/orders"
  exec 3<> "$folder/orders"
  echo '{"execute":"qmp_capabilities"}' >&3
  echo boot >> "$folder/boots"
  begun=$(date +%s)
  status=0
  nsenter --net="/run/netns/$switch" chroot "$tools" qemu-system-x86_64 \
    -M pc,usb=off -accel "$accelerator" -cpu "$processor" -smp 2 -m "$memory" -nodefaults -no-user-config \
    -display none -no-reboot -rtc base=utc \
    -kernel /mnt/kernel -initrd /mnt/initrd -append "$(cat "$folder/cmdline") console=ttyS0 panic=5$emulated" \
    -chardev socket,id=console,path=/mnt/console-in,server=on,wait=off,logfile=/mnt/console,logappend=on \
    -serial chardev:console \
    -device virtio-rng-pci -device virtio-serial-pci \
    -chardev socket,id=agent,path=/mnt/agent,server=on,wait=off \
    -device virtserialport,chardev=agent,name=org.qemu.guest_agent.0 \
    -chardev stdio,id=orders,signal=off -mon chardev=orders,mode=control "$@" \
    <&3 > "$folder/events" 2>> "$folder/console" || status=$?
  exec 3>&-
  echo "ended with status $status" >> "$folder/console"
  # a snapshot that this qemu does not take: a boot does as well
  if [ -n "$snapshot" ] && [ "$status" = 1 ]; then
    rm -f "$folder/warm" "$folder/boots" "$folder"/*.qcow2
    make_disks
    continue
  fi
  # it ends in all cases; why, it said before
  if grep -q '"reason": "guest-shutdown"' "$folder/events"; then echo off > "$folder/want"; fi
  if [ $(($(date +%s) - begun)) -lt 2 ]; then failures=$((failures + 1)); else failures=0; fi
  if [ "$failures" -ge 3 ]; then echo failed > "$folder/want"; fi
done
