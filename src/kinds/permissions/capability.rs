//! File capabilities: the attribute `security.capability` as the kernel keeps it (`struct vfs_cap_data` in
//! `linux/capability.h`), in the names of capabilities(7).

/// By their numbers, as of Linux 6.12.
pub(super) const NAMES: [&str; 41] = [
    "cap_chown",
    "cap_dac_override",
    "cap_dac_read_search",
    "cap_fowner",
    "cap_fsetid",
    "cap_kill",
    "cap_setgid",
    "cap_setuid",
    "cap_setpcap",
    "cap_linux_immutable",
    "cap_net_bind_service",
    "cap_net_broadcast",
    "cap_net_admin",
    "cap_net_raw",
    "cap_ipc_lock",
    "cap_ipc_owner",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_sys_chroot",
    "cap_sys_ptrace",
    "cap_sys_pacct",
    "cap_sys_admin",
    "cap_sys_boot",
    "cap_sys_nice",
    "cap_sys_resource",
    "cap_sys_time",
    "cap_sys_tty_config",
    "cap_mknod",
    "cap_lease",
    "cap_audit_write",
    "cap_audit_control",
    "cap_setfcap",
    "cap_mac_override",
    "cap_mac_admin",
    "cap_syslog",
    "cap_wake_alarm",
    "cap_block_suspend",
    "cap_audit_read",
    "cap_perfmon",
    "cap_bpf",
    "cap_checkpoint_restore",
];

/// The capabilities that an attribute gives, in hexadecimal digits: those that it permits and those that it lets be
/// inherited. None where it is no such attribute.
pub(super) fn names(hex: &str) -> Option<Vec<String>> {
    let word = |number: usize| -> Option<u32> {
        let digits = hex.get(8 * number..8 * number + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::swap_bytes)
    };
    // version 1 has 32 capabilities, 2 and 3 have 64; 3 says besides whose root may use them
    let (length, high) = match word(0)? >> 24 {
        1 => (24, 0),
        2 => (40, word(3)? | word(4)?),
        3 => (48, word(3)? | word(4)?),
        _ => return None,
    };
    if hex.len() != length {
        return None;
    }
    let set = u64::from(word(1)? | word(2)?) | u64::from(high) << 32;
    let named =
        |number: usize| NAMES.get(number).map_or_else(|| format!("cap_{number}"), |&name| name.to_owned());
    Some((0..64).filter(|number| set >> number & 1 == 1).map(named).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_read_as_the_kernel_keeps_it() {
        // `setcap cap_net_raw+ep`, `cap_setuid,cap_bpf+i` and a namespaced one, as getfattr -e hex shows them
        assert_eq!(names("0100000200200000000000000000000000000000").unwrap(), ["cap_net_raw"]);
        assert_eq!(names("0000000200000000800000000000000080000000").unwrap(), ["cap_setuid", "cap_bpf"]);
        assert_eq!(names("010000030020000000000000000000000000000000000000").unwrap(), ["cap_net_raw"]);
        assert_eq!(names("010000010020000000000000").unwrap(), ["cap_net_raw"]);
        assert_eq!(names("0100000200000000000000000000000000800000").unwrap(), ["cap_47"]);
    }

    #[test]
    fn anything_else_is_no_attribute() {
        for text in [
            "",
            "01000002",
            "error-1",
            "0100000400200000000000000000000000000000",
            "010000020020000000000000",
            "zz00000200200000000000000000000000000000",
        ] {
            assert_eq!(names(text), None, "{text}");
        }
    }
}
