for (['container', '--container'], ['hypervisor', '--vm']) {
    my ($what, $which) = @$_;
    my $said = tool('systemd-detect-virt', $which);
    $said =~ s/\n+\z//;
    text("$what $said");
}
text('announced ' . ((contents('/proc/cpuinfo') // '') =~ /\bhypervisor\b/ ? 'yes' : 'no'));
for my $field ('sys_vendor', 'product_name') {
    my $value = first_line("/sys/class/dmi/id/$field");
    text("product $value") if defined $value;
}
