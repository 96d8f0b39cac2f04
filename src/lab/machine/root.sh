# Runs in the root of a new base for machines, behind deliver.sh: what a system of its own kernel and disks needs
# beside what a container has.
set -eu
export SYSTEMD_OFFLINE=1

printf '%s\n' 'LABEL=lab-root / ext4 errors=remount-ro 0 1' 'LABEL=lab-boot /boot ext4 defaults 0 2' \
  'LABEL=lab-packages /srv/packages ext4 ro,nofail 0 0' > /etc/fstab
mkdir -p /srv/packages

# what the supervisor, which is the boot loader, gives the kernel; a machine may write another line here
echo 'root=LABEL=lab-root rw' > /boot/cmdline

# Only what these machines have, so that an emulated processor need not unpack the rest. crypttab(5) with `initramfs`
# adds what an encrypted root needs.
echo 'MODULES=list' > /etc/initramfs-tools/conf.d/lab
printf 'COMPRESS=zstd\nCOMPRESSLEVEL=3\n' >> /etc/initramfs-tools/conf.d/lab
printf '%s\n' virtio_pci virtio_blk virtio_scsi sd_mod virtio_console dm_mod dm_crypt raid1 xts \
  sha256_generic ecb cbc >> /etc/initramfs-tools/modules
echo 'CRYPTSETUP=y' >> /etc/cryptsetup-initramfs/conf-hook

# On its first boot a machine finds a disk with its name, ids, keys and addresses, before its systemd starts.
cat > /etc/initramfs-tools/scripts/init-bottom/lab <<'SCRIPT'
#!/bin/sh
[ "$1" != prereqs ] || exit 0
disk=/dev/disk/by-id/virtio-delivery
[ -b "$disk" ] || exit 0
tar -xpf "$disk" -C "$rootmnt"
SCRIPT
chmod 0755 /etc/initramfs-tools/scripts/init-bottom/lab

systemctl enable qemu-guest-agent.service 2>/dev/null || :
# a machine's console is written to a file, and nobody logs in there
systemctl mask serial-getty@ttyS0.service getty@tty1.service
# these take an emulated processor long, and find nothing
systemctl mask e2scrub_reap.service man-db.timer dpkg-db-backup.timer mdmonitor.service mdcheck_start.timer \
  mdcheck_continue.timer mdmonitor-oneshot.timer systemd-pstore.service
rm -f /boot/*.dpkg-bak /boot/*.new
update-initramfs -u
