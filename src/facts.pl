# What every look says of the host itself: a name and a value a line.
line('machine-id', first_line('/etc/machine-id'));
my $boot = first_line('/proc/sys/kernel/random/boot_id');
line('boot-id', $boot) if defined $boot;
my %release = map { /^([A-Z_]+)=["']?(.*?)["']?\s*$/ ? ($1 => $2) : () } split /\n/, contents('/etc/os-release') // '';
line('distribution', ($release{ID} // '') . '-' . ($release{VERSION_ID} // '')) if %release;
my ($kind, $marker, undef, @found) = reach('/etc/palisade/environment', 1);
if (!defined $kind) { line('unread', 'whose /etc/palisade/environment is') if !is_absent() }
elsif ($marker && !$found[4] && ($found[2] & 07777) == 0644) { line('environment', drained($marker) =~ /\A(.*)/) }
my ($from) = split / /, $ENV{SSH_CONNECTION} // '';
line('from', $from);
line('uid', $>);
my ($up) = (contents('/proc/uptime') // '') =~ /^(\d+)/;
my $state = '/var/lib/palisade';
my $pending = first_line("$state/pending");
if (defined $pending && length $pending) {
    line('pending', $pending);
    my $deadline = first_line("$state/tx/$pending/deadline") // '';
    line('pending-seconds', $deadline - $up) if $deadline =~ /^\d+$/;
    my @units = ("palisade-rollback-$pending.timer", "palisade-rollback-$pending.service", 'palisade-recover.service');
    line('pending-watched', 'yes') if tool('systemctl', 'is-active', @units) =~ /^(?:active|activating)$/m;
}
for (split /\n/, contents("$state/lease") // '') {
    my ($name, $value) = split /=/, $_, 2;
    line("lease-$name", $value) if $name =~ /^(?:run|who|from|since|boot)$/;
    line('lease-left', $value - $up) if $name eq 'until' && $value =~ /^\d+$/;
}
for my $folder ('/run/systemd/transient', '/etc/systemd/system') {
    for my $unit (grep { /^palisade-release-.*\.service\z/s } names($folder)) {
        next if tool('systemctl', 'is-active', $unit) =~ /^(?:inactive|failed|unknown)$/;
        my ($release) = $unit =~ /^palisade-release-(.*)\.service\z/s;
        line('installing', field($release));
        my @begun = grep { / begun / } split /\n/, contents("$state/releases/$release/journal") // '';
        line('installing-begun', $begun[-1]);
    }
}
line('recovery', 'yes') if -l '/etc/systemd/system/sysinit.target.wants/palisade-recover.service';
text(tool('stat', '-f', '-c', 'space	%a	%S	%d	%c', '/', '/var'));
for (split /\n/, contents('/proc/mounts') // '') {
    my (undef, $point, undef, $options) = split / /;
    line('read-only', $point) if $point =~ m{^/(?:etc|var|home)?$} && ",$options," =~ /,ro,/;
}
my ($audit) = tool({ errors => 1 }, 'dpkg', '--audit') =~ /\A(.*)/;
line('dpkg-audit', $audit);
line('end', 'facts');
