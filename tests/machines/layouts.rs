//! Layouts of disks, as data: how each is made on a machine, what the verdict must be and say, how it is taken away again.
//! It makes none itself.
//!
//! The machine's own root is in plain; but for the first layout it is declared as an exception, so that the verdict is
//! about the layout alone. `$d1` to `$d4` are empty disks, `$d5` is removable, `$key` is a passphrase's file in memory.

/// One layout.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Its file's name, and the row's.
    pub(crate) name: &'static str,
    /// In words.
    pub(crate) about: &'static str,
    /// Shell that makes it; any status but 0 fails the test.
    pub(crate) make: &'static str,
    /// Shell that takes it away.
    pub(crate) undo: &'static str,
    /// Whether the machine's own root counts.
    pub(crate) root_counts: bool,
    /// The verdict's word.
    pub(crate) verdict: &'static str,
    /// Words of a finding, note or reason.
    pub(crate) says: &'static str,
    /// Whether it takes an emulated machine minutes: seen with `PALISADE_LAB_TAIL=1` alone.
    pub(crate) slow: bool,
}

const LAYOUT: Layout = Layout {
    name: "",
    about: "",
    make: "",
    undo: "",
    root_counts: false,
    verdict: "compliant",
    says: "",
    slow: false,
};

/// What every layout's shell begins with. udev looks at what was just let go, and holds it for a moment.
pub(crate) const PRELUDE: &str = r#"
set -eu
disk() { readlink -f "/dev/disk/by-id/virtio-data$1"; }
d1=$(disk 1) d2=$(disk 2) d3=$(disk 3) d4=$(disk 4)
d5=$(readlink -f /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_data5)
key=/run/lab-key
printf 'a passphrase of the lab' >$key
cheap='--batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000'
luks() { cryptsetup luksFormat $cheap "$@" $key; }
open() { cryptsetup open --key-file $key "$1" "$2"; }
ext4() { mke2fs -q -t ext4 "$1"; }
at() { mkdir -p "$2"; mount "$1" "$2"; }
stopped() { tries=0; until udevadm settle && cryptdisks_stop "$1"; do tries=$((tries + 1)); [ $tries -lt 60 ]; sleep 0.5; done; }
gone() { for mount in /data /store; do while umount "$mount" 2>/dev/null; do :; done; done; }
blank() { udevadm settle; for disk in "$@"; do wipefs -qa "$disk"; dd if=/dev/zero of="$disk" bs=1M count=2 status=none; done; udevadm settle; }
"#;

pub(crate) const LAYOUTS: &[Layout] = &[
    Layout {
        name: "plain-root",
        about: "a root in plain, as most providers deliver it",
        root_counts: true,
        verdict: "drift",
        says: "is not encrypted",
        ..LAYOUT
    },
    Layout {
        name: "boot-excepted",
        about: "/boot in plain, which is declared",
        says: "/boot (/dev/vda) is not encrypted, and declared so",
        ..LAYOUT
    },
    Layout {
        name: "luks2",
        about: "a volume on LUKS2",
        make: "luks --type luks2 $d1; open $d1 data; ext4 /dev/mapper/data; at /dev/mapper/data /data",
        undo: "gone; cryptsetup close data; blank $d1",
        says: "/data: data LUKS2 aes-xts-plain64 512 bits",
        ..LAYOUT
    },
    Layout {
        name: "luks1",
        about: "a volume on LUKS1",
        make: "cryptsetup luksFormat --batch-mode --type luks1 --pbkdf-force-iterations 1000 $d1 $key; open $d1 data; \
               ext4 /dev/mapper/data; at /dev/mapper/data /data",
        undo: "gone; cryptsetup close data; blank $d1",
        says: "/data: data LUKS1 aes-xts-plain64",
        ..LAYOUT
    },
    Layout {
        name: "lvm-on-luks",
        about: "a volume of LVM on LUKS2",
        make: "luks $d1; open $d1 crypt; pvcreate -q /dev/mapper/crypt; vgcreate -q vg /dev/mapper/crypt; \
               lvcreate -q -y -n store -L 32M vg; ext4 /dev/vg/store; at /dev/vg/store /store",
        undo: "gone; vgremove -q -f vg; pvremove -q /dev/mapper/crypt; cryptsetup close crypt; blank $d1",
        says: "/store: crypt LUKS2",
        ..LAYOUT
    },
    Layout {
        name: "luks-on-raid1",
        about: "LUKS2 on a mirror (md RAID1) of two disks",
        make: "mdadm --quiet --create /dev/md0 --run --metadata=1.2 --level=1 --raid-devices=2 $d1 $d2 2>/dev/null; \
               luks /dev/md0; open /dev/md0 data; ext4 /dev/mapper/data; at /dev/mapper/data /data",
        undo: "gone; cryptsetup close data; mdadm --quiet --stop /dev/md0; mdadm --zero-superblock $d1 $d2; blank $d1 $d2",
        says: "/data: data LUKS2",
        ..LAYOUT
    },
    Layout {
        name: "plain-raid1",
        about: "a mirror of two disks in plain",
        make: "mdadm --quiet --create /dev/md0 --run --metadata=1.2 --level=1 --raid-devices=2 $d1 $d2 2>/dev/null; \
               ext4 /dev/md0; at /dev/md0 /data",
        undo: "gone; mdadm --quiet --stop /dev/md0; mdadm --zero-superblock $d1 $d2; blank $d1 $d2",
        verdict: "drift",
        says: "/data (/dev/md0, on /dev/vd",
        ..LAYOUT
    },
    Layout {
        name: "one-of-two-plain",
        about: "two encrypted disks, and a volume of LVM that lies on one of them and on a third in plain",
        make: "luks $d1; open $d1 one; luks $d2; open $d2 two; pvcreate -q /dev/mapper/one $d3; \
               vgcreate -q vg /dev/mapper/one $d3; lvcreate -q -y -n store -l 100%VG vg; ext4 /dev/vg/store; \
               at /dev/vg/store /store; ext4 /dev/mapper/two; at /dev/mapper/two /data",
        undo: "gone; vgremove -q -f vg; pvremove -q /dev/mapper/one $d3; cryptsetup close one; cryptsetup close two; \
               blank $d1 $d2 $d3",
        verdict: "drift",
        says: "/store (/dev/mapper/vg-store, on /dev/vd",
        ..LAYOUT
    },
    Layout {
        name: "open-and-unused",
        about: "LUKS2 is open and nothing uses it; the volume that is used lies beside it in plain",
        make: "luks $d1; open $d1 data; ext4 $d2; at $d2 /data",
        undo: "gone; cryptsetup close data; blank $d1 $d2",
        verdict: "drift",
        says: "/data (/dev/vd",
        ..LAYOUT
    },
    Layout {
        name: "unmounted-plain",
        about: "a file system in plain that nobody has mounted",
        make: "ext4 $d1",
        undo: "blank $d1",
        verdict: "drift",
        says: "ext4, not in use, (/dev/vd",
        ..LAYOUT
    },
    Layout {
        name: "swap-plain",
        about: "swap in plain",
        make: "mkswap -q $d1; swapon $d1",
        undo: "swapoff $d1; blank $d1",
        verdict: "drift",
        says: "swap on /dev/vd",
        ..LAYOUT
    },
    Layout {
        name: "swap-random-key",
        about: "swap with a new random key at each boot",
        make: "echo \"swap0 $d1 /dev/urandom swap,cipher=aes-xts-plain64,size=512\" >/etc/crypttab; \
               cryptdisks_start swap0; swapon /dev/mapper/swap0",
        undo: "swapoff /dev/mapper/swap0; stopped swap0; : >/etc/crypttab; blank $d1",
        says: "swap0 has a new random key at each boot",
        ..LAYOUT
    },
    Layout {
        name: "swap-zram",
        about: "swap in compressed memory",
        make: "modprobe zram; udevadm settle; zramctl --size 32M /dev/zram0; mkswap -q /dev/zram0; swapon /dev/zram0",
        undo: "swapoff /dev/zram0; udevadm settle; zramctl --reset /dev/zram0; modprobe -r zram",
        says: "swap on /dev/zram0: in memory alone",
        ..LAYOUT
    },
    Layout {
        name: "key-beside",
        about: "the key file of a volume lies on a disk in plain",
        make: "luks $d1; cp $key /root/data.key; chmod 600 /root/data.key; echo \"data $d1 /root/data.key luks\" >/etc/crypttab; \
               open $d1 data; ext4 /dev/mapper/data; at /dev/mapper/data /data",
        undo: "gone; cryptsetup close data; rm /root/data.key; : >/etc/crypttab; blank $d1",
        verdict: "drift",
        says: "data is opened by the key file /root/data.key, which lies on /dev/vdb, in plain",
        ..LAYOUT
    },
    Layout {
        name: "key-on-encrypted",
        about: "the key file of a second volume lies on the first, which is encrypted and asks for a passphrase",
        make: "luks $d1; open $d1 one; ext4 /dev/mapper/one; at /dev/mapper/one /data; cp $key /data/two.key; luks $d2; \
               open $d2 two; ext4 /dev/mapper/two; at /dev/mapper/two /store; \
               printf 'one %s none luks\\ntwo %s /data/two.key luks\\n' $d1 $d2 >/etc/crypttab",
        undo: "gone; cryptsetup close two; cryptsetup close one; : >/etc/crypttab; blank $d1 $d2",
        says: "/store: two LUKS2",
        ..LAYOUT
    },
    Layout {
        name: "key-in-initramfs",
        about: "the key file lies on an encrypted disk, and a copy of it in an initramfs, in plain",
        make: "luks $d1; open $d1 one; ext4 /dev/mapper/one; at /dev/mapper/one /data; cp $key /data/two.key; luks $d2; \
               open $d2 two; ext4 /dev/mapper/two; at /dev/mapper/two /store; chmod 400 /data/two.key; \
               printf 'one %s none luks\\ntwo %s /data/two.key luks,initramfs\\n' $d1 $d2 >/etc/crypttab; \
               cp /boot/initrd.img-$(uname -r) /run/lab-initrd; \
               echo 'KEYFILE_PATTERN=/data/*.key' >>/etc/cryptsetup-initramfs/conf-hook; update-initramfs -u 2>/dev/null",
        undo: "sed -i '$d' /etc/cryptsetup-initramfs/conf-hook; mv /run/lab-initrd /boot/initrd.img-$(uname -r); \
               gone; cryptsetup close two; cryptsetup close one; : >/etc/crypttab; blank $d1 $d2",
        verdict: "drift",
        says: "two is opened by a key in /boot/initrd.img-",
        slow: true,
        ..LAYOUT
    },
    Layout {
        name: "weak-cipher",
        about: "a volume under a cipher of yesterday",
        make: "cryptsetup open --type plain --cipher aes-cbc-plain --key-size 128 --key-file $key --keyfile-size 16 $d1 old; \
               ext4 /dev/mapper/old; at /dev/mapper/old /data",
        undo: "gone; cryptsetup close old; blank $d1",
        verdict: "drift",
        says: "is encrypted too weakly: aes-cbc-plain with 128 bits",
        ..LAYOUT
    },
    Layout {
        name: "removable",
        about: "a removable disk in plain",
        make: "ext4 $d5; at $d5 /data",
        undo: "gone; blank $d5",
        verdict: "drift",
        says: "removable) is not encrypted",
        ..LAYOUT
    },
    Layout {
        name: "fscrypt",
        about: "a file system in plain, some directories of which fscrypt encrypts",
        make: "mke2fs -q -t ext4 -O encrypt $d1; at $d1 /data; mkdir /data/.fscrypt",
        undo: "gone; blank $d1",
        verdict: "drift",
        says: "/data has directories encrypted by fscrypt, which palisade does not judge",
        ..LAYOUT
    },
    Layout {
        name: "hardware",
        about: "what cryptsetup opened and the kernel does not encrypt, as with hardware encryption (OPAL); made by hand, for \
                the machine's disks have none",
        make: "echo \"0 $(blockdev --getsz $d1) linear $d1 0\" | dmsetup create opal --uuid CRYPT-LUKS2-lab-opal; \
               ext4 /dev/mapper/opal; at /dev/mapper/opal /data",
        undo: "gone; dmsetup remove opal; blank $d1",
        verdict: "unknown",
        says: "its hardware may (OPAL), which palisade does not judge",
        ..LAYOUT
    },
    Layout {
        name: "unreadable",
        about: "a volume on LUKS2 where dmsetup cannot be run",
        make: "luks $d1; open $d1 data; ext4 /dev/mapper/data; at /dev/mapper/data /data; chmod -x /usr/sbin/dmsetup",
        undo: "chmod +x /usr/sbin/dmsetup; gone; cryptsetup close data; blank $d1",
        verdict: "unknown",
        says: "dmsetup table failed (exit 127)",
        ..LAYOUT
    },
];
