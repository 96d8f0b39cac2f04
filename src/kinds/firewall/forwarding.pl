# Whether the kernel passes packets on: IPv4, then IPv6 where the kernel has it. Status and text.
sub forwarding {
    my ($failed, $text) = cat('/proc/sys/net/ipv4/ip_forward');
    my $six = '/proc/sys/net/ipv6/conf/all/forwarding';
    if (is_there($six)) { ($failed, my $more) = cat($six); $text .= $more }
    return ($failed, $text);
}
