# What apt knows of its sources, what their files say, and its settings that concern signatures.
part_of('targets', 'apt-get', 'indextargets', '--format', '$(CREATED_BY)|$(ORIGIN)|$(RELEASE)|$(SITE)|$(SOURCESENTRY)|end');
my ($failed, $lines) = (0, '');
my @files = ('/etc/apt/sources.list', paths('/etc/apt/sources.list.d', qr/^[^.].*\.list\z/s), paths('/etc/apt/sources.list.d', qr/^[^.].*\.sources\z/s));
for my $path (grep { is_file($_) } @files) {
    my $text = contents($path);
    if (!defined $text) { warn field($path) . ": $!\n"; $failed = 1; last }
    $lines .= 'file ' . field($path) . "\n";
    my $number = 0;
    for (split /\n/, $text) { $number++; $lines .= "$number:$_\n" if /^\s*[^#\s]/ }
}
part('lines', $failed, $failed ? '' : $lines . 'looked');
my $settings = tool('apt-config', 'dump');
part('settings', $status, lines_of($settings, sub { /^(?:APT::Architecture|APT::Get::AllowUnauthenticated|Acquire::Allow[A-Za-z]*|Acquire::Check-[A-Za-z-]*) / }));
