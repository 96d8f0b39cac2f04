# What begins to run on this host by itself or with somebody else's rights, by the place in which it stands, where no package brought
# it or where it is not as its package brought it. What accounts have in their own folders is read with their rights alone.
my $limit = 8000;
my $entries = '';
sub told { $entries .= join("\t", map { defined $_ ? $_ : '' } @_) . "\n" }
my @places = (
    ['cron', 3, qw(/etc/crontab /etc/anacrontab /etc/cron.d /etc/cron.hourly /etc/cron.daily /etc/cron.weekly /etc/cron.monthly /etc/cron.yearly /var/spool/cron /var/spool/at)],
    ['systemd', 3, map { my $root = $_; map { "$root/systemd/$_" } qw(system user system-generators user-generators system-environment-generators user-environment-generators system-sleep system-shutdown) } qw(/etc /usr/lib /usr/local/lib)],
    ['linger', 1, '/var/lib/systemd/linger'],
    ['boot', 2, qw(/etc/rc.local /etc/init.d /etc/grub.d /etc/kernel /etc/initramfs-tools /usr/share/initramfs-tools)],
    ['udev', 2, qw(/etc/udev/rules.d /usr/lib/udev/rules.d /usr/local/lib/udev)],
    ['udev', 1, '/usr/lib/udev'],
    ['login', 2, qw(/etc/profile.d /etc/update-motd.d /etc/X11/Xsession.d)],
    ['pam', 2, '/etc/pam.d', '/usr/share/pam-configs', grep { is_folder($_) } paths('/usr/lib', qr/-linux-gnu\z/) ? map { "$_/security" } paths('/usr/lib', qr/-linux-gnu\z/) : ()],
    ['preload', 1, qw(/etc/ld.so.preload /etc/ld.so.conf.d)],
    ['network', 2, qw(/etc/network/if-pre-up.d /etc/network/if-up.d /etc/network/if-down.d /etc/network/if-post-down.d /etc/dhcp/dhclient-enter-hooks.d /etc/dhcp/dhclient-exit-hooks.d /etc/networkd-dispatcher /usr/lib/networkd-dispatcher /etc/NetworkManager/dispatcher.d /usr/lib/NetworkManager/dispatcher.d /etc/ppp/ip-up.d /etc/ppp/ip-down.d)],
    ['logrotate', 1, '/etc/logrotate.d'],
    ['polkit', 1, qw(/etc/polkit-1/rules.d /usr/share/polkit-1/rules.d /usr/local/share/polkit-1/rules.d)],
    ['dbus', 1, qw(/usr/share/dbus-1/system-services /usr/local/share/dbus-1/system-services /etc/dbus-1/system-services)],
    ['binfmt', 1, qw(/etc/binfmt.d /usr/lib/binfmt.d /usr/local/lib/binfmt.d)],
);
my (@found, %seen);

# What stands at a path, and below it where it is a folder of root's own; links are not followed.
sub below {
    my ($place, $depth, $path) = @_;
    my @stat = lstat $path or return;
    return if $seen{"$stat[0]:$stat[1]:$path"}++;
    die "more than $limit files begin something\n" if @found > $limit;
    if (-d _) {
        return if !$depth;
        below($place, $depth - 1, "$path/$_") for names($path);
        return;
    }
    # what pam-auth-update makes is looked at line by line, below
    return if $path =~ m{^/etc/pam[.]d/common-(?:account|auth|password|session|session-noninteractive)\z} && -f _;
    push @found, [$place, $path, -l _ ? readlink $path : undef, @stat];
}
for (@places) {
    my ($place, $depth, @paths) = @$_;
    below($place, $depth, $_) for @paths;
}

# What apt and dpkg run besides, where a file of theirs says so.
for my $path (paths('/etc/apt/apt.conf.d', qr/./), '/etc/apt/apt.conf', paths('/etc/dpkg/dpkg.cfg.d', qr/./), '/etc/dpkg/dpkg.cfg') {
    my $text = contents($path);
    next if !defined $text;
    $text =~ s{^\s*(?://|#(?!clear)).*$}{}mg;
    below('apt', 1, $path) if $text =~ /invoke|pre-install-pkgs|proxy-auto-detect|dir::bin|status-logger/i;
}
# A module whose loading is a command of somebody's.
for my $path (map { paths($_, qr/[.]conf\z/) } qw(/etc/modprobe.d /usr/lib/modprobe.d /usr/local/lib/modprobe.d)) {
    my $text = contents($path);
    below('modprobe', 1, $path) if defined $text && $text =~ m{^\s*(?:install|remove)\s+\S+\s+(?!/(?:usr/)?bin/(?:true|false)\s*$)\S}m;
}
my $environment = contents('/etc/environment');
below('environment', 1, '/etc/environment') if defined $environment && $environment =~ /^\s*(?:export\s+)?(?:LD_|PATH\b.*[.:]{2}|PERL5|PYTHON)/m;
# The shells' own files at every login are no package's: they are copied from these.
for (['/etc/profile', '/usr/share/base-files/profile']) {
    my ($path, $from) = @$_;
    my ($mine, $theirs) = (contents($path), contents($from));
    below('login', 1, $path) if defined $mine && defined $theirs && $mine ne $theirs;
}

# Programs that the kernel starts.
my $dump = first_line('/proc/sys/kernel/core_pattern');
push @found, ['kernel', $1, undef, lstat $1] if defined $dump && $dump =~ m{^\|(/\S+)} && is_there($1);

# What accounts' own systemd runs.
setpwent;
while (my ($name, undef, $uid, $gid, undef, undef, undef, $home) = getpwent) {
    next if $home !~ m{^/.} || !is_folder("$home/.config");
    my $told = as_account($uid, $gid, sub {
        my @units;
        my @folders = map { "$home/.config/systemd/$_" } qw(user user-generators);
        while (@folders && @units < 200) {
            my $folder = shift @folders;
            for my $entry (map { "$folder/$_" } names($folder)) {
                if (-d $entry && !-l $entry) { push @folders, $entry if $entry =~ tr{/}{} < 12 }
                else { push @units, $entry }
            }
        }
        return join '', map { field($_) . "\n" } @units;
    });
    told('account', field($name), defined $told ? 'read' : 'unread');
    for my $unit (split /\n/, $told // '') { told('unit', field($name), $unit) }
}
endpwent;

# Whose they are. dpkg may know a path by its name from before /lib became /usr/lib; and takes other names for patterns.
my %owner;
# A pattern that stands for one path: a backslash stands for itself.
sub pattern { my ($path) = @_; return undef if $path !~ m{^[A-Za-z0-9/._+:@=,~\\-]+\z}; $path =~ s/\\/\\\\/g; return $path }
# A path, and its other name where /lib and the like became parts of /usr.
sub names_of { my ($path) = @_; return $path =~ m{^/usr(/.*)} ? ($path, $1) : $path =~ m{^/(?:lib\w*|s?bin)/} ? ($path, "/usr$path") : $path }
my @asked = grep { defined } map { pattern($_->[1]) } @found;
for (my $at = 0; $at < @asked; $at += 1000) {
    my @some = grep { defined } @asked[$at .. ($at + 999 < $#asked ? $at + 999 : $#asked)];
    my $told = tool({ quiet => 1 }, 'dpkg-query', '-S', '--', map { names_of($_) } @some);
    for (split /\n/, $told) { $owner{$2} //= $1 if m{^([a-z0-9][a-z0-9.+:, -]*): (/.*)$} }
}
my $self = tool('dpkg-query', '-W', '-f', 'self ${Package}\n', 'dpkg');
part('dpkg', $status, $self);
sub first_of { my ($of, $path) = @_; for (names_of($path)) { return $of->{$_} if defined $of->{$_} } return undef }
sub owner_of { my ($path) = @_; return first_of(\%owner, $path) }

# What packages say that their files hold.
my (%packages, %sum);
for my $of (map { owner_of($_->[1]) // () } @found) { $packages{$_} = 1 for split /, /, $of }
for my $package (keys %packages) {
    my $list = contents("/var/lib/dpkg/info/$package.md5sums");
    for (split /\n/, $list // '') { $sum{"/$2"} = $1 if /^([0-9a-f]{32})  (.+)$/ }
}
my $conffiles = %packages ? tool({ quiet => 1 }, 'dpkg-query', '-W', '-f', '${Conffiles}\n', sort keys %packages) : '';
for (split /\n/, $conffiles) { $sum{$1} = $2 if m{^ (/\S+) ([0-9a-f]{32})} }
sub sum_of { my ($path) = @_; return first_of(\%sum, $path) }

my %held;
my @regular = grep { !defined $_->[2] && (($_->[5] & 0170000) == 0100000) } @found;
for (my $at = 0; $at < @regular; $at += 1000) {
    my @some = grep { defined } @regular[$at .. ($at + 999 < $#regular ? $at + 999 : $#regular)];
    my $told = tool({ quiet => 1 }, 'md5sum', '-z', '--', map { $_->[1] } @some);
    for (split /\0/, $told) { $held{$2} = $1 if /^([0-9a-f]{32})  (.+)\z/s }
}

# A link may lead where nothing was asked for.
my %asked_for;
sub owner_of_any {
    my ($path) = @_;
    return owner_of($path) if defined owner_of($path);
    # an instance of a template
    my $template = $path =~ s{@[^/]+(?=[.][a-z]+\z)}{\@}r;
    return owner_of($template) if defined owner_of($template);
    my $pattern = pattern($template);
    return undef if !defined $pattern;
    return $asked_for{$template} //= do {
        my $told = tool({ quiet => 1 }, 'dpkg-query', '-S', '--', names_of($pattern));
        $told =~ m{^([a-z0-9][a-z0-9.+:, -]*): /}m ? $1 : '';
    };
}
my ($brought, @strange) = (0);
for my $entry (@found) {
    my ($place, $path, $target, @stat) = @$entry;
    my $package = owner_of($path);
    my @says = ($place, field($path), field(user_name($stat[4])) . ':' . field(group_name($stat[5])), sprintf('%04o', $stat[2] & 07777), $stat[7]);
    if (defined $target) {
        # Where a link of systemd's leads: that something is enabled, masked, or has a second name.
        my $folder = $path =~ s{/[^/]*\z}{}r;
        my $leads = $target =~ m{^/} ? $target : "$folder/$target";
        1 while $leads =~ s{/[^/]+/\.\.(?=/|\z)}{} || $leads =~ s{/\.(?=/|\z)}{};
        # One of a package's own leads to what a package brought too: it may stand where a file or folder of that stood.
        if ($leads eq '/dev/null' || (defined $package && owner_of_any($leads))) { $brought++; next; }
        told('link', @says, field($leads), owner_of_any($leads) ? 'package' : (grep { my $it = $_; grep { $_ eq $it->[1] } names_of($leads) } @found) ? 'entry' : 'nothing');
        next;
    }
    if (!defined $package) { push @strange, $path; told('file', @says); next; }
    my ($is, $was) = ($held{$path}, sum_of($path));
    if (defined $was && defined $is && $is ne $was) { push @strange, $path; told('changed', @says, field($package)); next; }
    $brought++;
}
for (my $at = 0; $at < @strange; $at += 1000) {
    my @some = grep { defined } @strange[$at .. ($at + 999 < $#strange ? $at + 999 : $#strange)];
    my $told = tool({ quiet => 1 }, 'sha256sum', '-z', '--', @some);
    for (split /\0/, $told) { told('sum', field($2), $1) if /^([0-9a-f]{64})  (.+)\z/s }
}

# Lines of PAM's common files, which pam-auth-update makes of profiles: each is one of a profile or of its template, of the same
# type, but for how far it jumps. Where no profile is the first for sessions, it writes a line of its own.
my %known = ('session [default=#] pam_permit.so' => 1);
sub spoken { my ($line) = @_; $line =~ s/#.*//; $line =~ s/^\s+|\s+$//g; $line =~ s/=(?:end|\d+)\b/=#/g; $line =~ s/\s+/ /g; return $line }
for my $path (paths('/usr/share/pam-configs', qr/^[^.]/)) {
    my $type = '';
    for (split /\n/, contents($path) // '') {
        if (/^(Auth|Account|Password|Session)(?:-Initial)?:\s*(.*)$/i) { $type = lc $1; $known{"$type " . spoken($2)} = 1 if $2 =~ /\S/ }
        elsif (/^\s+(\S.*)$/) { $known{"$type " . spoken($1)} = 1 }
    }
}
for my $path (paths('/usr/share/pam', qr/^common-[a-z-]+\z/)) {
    for (split /\n/, contents($path) // '') { $known{ spoken($_) } = 1 if !/^\s*(?:#|\$|$)/ }
}
for my $path (paths('/etc/pam.d', qr/^common-/)) {
    my $number = 0;
    for my $text (split /\n/, contents($path) // '') {
        $number++;
        my $says = spoken($text) =~ s/^-//r;
        told('pam', field($path), $number, length $text) if $says ne '' && !$known{$says} && !$known{"-$says"};
    }
}
told('brought', $brought);
part('entries', 0, $entries);
