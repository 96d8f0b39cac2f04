//! Names of kernel settings: what a playbook declares, and what a host has for it.

use super::{Malformed, checked_text};

checked_text!(
    /// A kernel setting as sysctl.d(5) names it: parts joined by dots, below `/proc/sys`. A part that is `*` stands for
    /// every name there, such as every network interface.
    KernelKey,
    check_key
);
checked_text!(
    /// One kernel setting of a host: its path below `/proc/sys`.
    KernelParameter,
    check_parameter
);

impl KernelKey {
    /// The path below `/proc/sys` that it stands for.
    pub fn path(&self) -> String {
        self.as_str().replace('.', "/")
    }

    /// Whether it stands for `parameter`.
    pub fn names(&self, parameter: &KernelParameter) -> bool {
        let (mut keys, mut parts) = (self.as_str().split('.'), parameter.as_str().split('/'));
        loop {
            match (keys.next(), parts.next()) {
                (None, None) => return true,
                (Some(key), Some(part)) if key == "*" || key == part => {}
                _ => return false,
            }
        }
    }

    /// Whether it stands for several settings.
    pub fn is_pattern(&self) -> bool {
        self.as_str().contains('*')
    }
}

impl KernelParameter {
    /// As sysctl(8) writes it: dots for slashes, and slashes for the dots of an interface's name.
    pub fn key(&self) -> String {
        let swapped = |c: char| match c {
            '/' => '.',
            '.' => '/',
            other => other,
        };
        self.as_str().chars().map(swapped).collect()
    }
}

fn check_key(text: &str) -> Result<(), Malformed> {
    let fix = "write it as sysctl.d(5) does, such as kernel.kptr_restrict or net.ipv4.conf.*.rp_filter";
    let sound = |part: &str| {
        part == "*"
            || !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    let good = text.len() <= 200
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.contains('.')
        && !text.ends_with('*')
        && text.split('.').all(sound);
    if good { Ok(()) } else { Err(Malformed::new("not the name of a kernel setting", fix)) }
}

fn check_parameter(text: &str) -> Result<(), Malformed> {
    let sound = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b'@' | b'+'))
    };
    if text.len() <= 255 && text.contains('/') && text.split('/').all(sound) {
        Ok(())
    } else {
        Err(Malformed::new("not the path of a kernel setting", "write it as it stands below /proc/sys"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_what_its_parts_name() {
        let key: KernelKey = "net.ipv4.conf.*.rp_filter".parse().unwrap();
        assert_eq!(key.path(), "net/ipv4/conf/*/rp_filter");
        let names = |path: &str| key.names(&path.parse().unwrap());
        assert!(names("net/ipv4/conf/all/rp_filter"));
        assert!(names("net/ipv4/conf/eth0.100/rp_filter"));
        for other in
            ["net/ipv4/conf/rp_filter", "net/ipv4/conf/a/b/rp_filter", "net/ipv4/conf/all/rp_filter/x"]
        {
            assert!(!names(other), "{other}");
        }
        let vlan: KernelParameter = "net/ipv4/conf/eth0.100/rp_filter".parse().unwrap();
        assert_eq!(vlan.key(), "net.ipv4.conf.eth0/100.rp_filter");
    }

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        let keys =
            ["kernel", "*.x", "kernel.", ".kernel", "kernel.x y", "kernel/x", "net.*", "kernel..x", "$(x).y"];
        for text in keys {
            assert!(text.parse::<KernelKey>().is_err(), "{text}");
        }
        for text in
            ["kernel", "../etc/passwd", "kernel/../../etc/x", "/kernel/x", "net/a b/x", "net//x", "net/*/x"]
        {
            assert!(text.parse::<KernelParameter>().is_err(), "{text}");
        }
    }
}
