//! What is set wrong by hand: a value for each setting that the built-in controls declare. A setting without one fails
//! the test. Values are such that the host still lets us in; they count for a new sshd alone.

/// What replaces the value of a keyword in palisade's drop-in of sshd; `\n` begins a line. Of algorithms, what is added.
pub(super) const SSHD: &[(&str, &str)] = &[
    ("allowagentforwarding", "yes"),
    ("allowstreamlocalforwarding", "yes"),
    ("authenticationmethods", "publickey keyboard-interactive"),
    ("authorizedkeyscommand", r"/bin/true\nAuthorizedKeysCommandUser nobody"),
    ("authorizedprincipalscommand", r"/bin/true\nAuthorizedPrincipalsCommandUser nobody"),
    ("authorizedprincipalsfile", "/etc/ssh/principals"),
    ("ciphers", ",aes128-cbc"),
    ("gatewayports", "yes"),
    ("gssapiauthentication", "yes"),
    ("hostbasedauthentication", "yes"),
    ("hostkeyalgorithms", ",ecdsa-sha2-nistp256"),
    ("ignorerhosts", "no"),
    ("kbdinteractiveauthentication", "yes"),
    ("kerberosauthentication", "yes"),
    ("kexalgorithms", ",ecdh-sha2-nistp256"),
    ("logingracetime", "60"),
    ("macs", ",hmac-sha1"),
    ("maxauthtries", "9"),
    ("passwordauthentication", "yes"),
    ("permitemptypasswords", "yes"),
    ("permitrootlogin", "yes"),
    ("permittunnel", "yes"),
    ("permituserenvironment", "yes"),
    ("permituserrc", "yes"),
    ("pubkeyacceptedalgorithms", ",ecdsa-sha2-nistp256"),
    ("pubkeyauthentication", "no"),
    ("requiredrsasize", "2048"),
    ("strictmodes", "no"),
    ("trustedusercakeys", "/etc/ssh/cas"),
    ("usepam", "no"),
    ("x11forwarding", "yes"),
];

/// What a setting of the kernel is set to, where it is a container's own.
pub(super) const KERNEL: &[(&str, &str)] = &[
    ("net.ipv4.conf.*.accept_redirects", "1"),
    ("net.ipv4.conf.*.accept_source_route", "1"),
    ("net.ipv4.conf.*.log_martians", "0"),
    ("net.ipv4.conf.*.rp_filter", "0"),
    ("net.ipv4.conf.*.secure_redirects", "1"),
    ("net.ipv4.conf.*.send_redirects", "1"),
    ("net.ipv4.icmp_echo_ignore_broadcasts", "0"),
    ("net.ipv4.icmp_ignore_bogus_error_responses", "0"),
    ("net.ipv4.tcp_rfc1337", "0"),
    ("net.ipv4.tcp_syncookies", "0"),
    ("net.ipv6.conf.*.accept_redirects", "1"),
    ("net.ipv6.conf.*.accept_source_route", "1"),
];

/// What fail2ban is told of its jail while it runs, and of what it then says something else.
pub(super) const JAIL: &[(&str, &str)] = &[
    ("maxretry", "fail2ban-client set sshd maxretry 50"),
    ("findtime", "fail2ban-client set sshd findtime 60"),
    ("bantime", "fail2ban-client set sshd bantime 60"),
    ("usedns", "fail2ban-client set sshd usedns yes"),
    ("ignoreself", "fail2ban-client set sshd ignoreself true"),
    ("actions", "fail2ban-client set sshd delaction palisade"),
    ("journalmatch", "fail2ban-client set sshd addjournalmatch _UID=1"),
];
