# What lends its owner's rights, what everyone may write, and which packages brought the former. tmpfs is left out: what lies
# there is gone at the next boot, and nothing of the distribution's is there.
my %kinds = map { $_ => 1 } qw(ext2 ext3 ext4 xfs btrfs f2fs jfs zfs overlay);
my (%seen, @starts);
for (split /\n/, contents('/proc/self/mountinfo') // '') {
    my ($before, $after) = split / - /, $_, 2;
    my (undef, undef, $device, $root, $at) = split / /, $before;
    my ($kind) = split / /, $after // '';
    next if !$kinds{$kind} || $at =~ m{^/(?:var/lib/(?:docker|containerd|containers)|run)/};
    $at =~ s/\\([0-7]{3})/chr oct $1/ge;
    push @starts, $at if is_folder($at) && !$seen{"$device$root"}++ && $at ne '/';
}
my $walk = tool(
    'timeout', '25', 'find', '/', @starts, '-xdev', '-ignore_readdir_race',
    '(', (map { $_ eq '/proc' ? ('-path', $_) : ('-o', '-path', $_) } '/proc', '/sys', map { "/var/lib/$_" } qw(docker containerd containers machines lxc)),
    ')', '-prune', '-o',
    '(', '(', '-path', '/', '-printf', 'walked\0', ')', ',', '(', '-type', 'f', '-perm', '/6000', '-printf', 'set-id %m %u:%g %p\0', ')', ',',
    '(', '-perm', '-0002', '(', '-type', 'f', '-o', '-type', 'd', '!', '-perm', '-1000', ')', '-printf', 'writable %p\0', ')', ')');
my $found = $status;
# names may hold line breaks: they become question marks, so that no name makes a line
$walk =~ tr/\n\0/?\n/;
part('walk', 0, $walk . "found $found");
my @set_id = map { m{^set-id [0-7]+ \S+ (/[A-Za-z0-9._+/-]*)$} ? $1 : () } split /\n/, $walk;
# Packages name /bin/su where the merged /usr has /usr/bin/su.
my $owners = @set_id ? tool({ quiet => 1 }, 'dpkg-query', '-S', @set_id, map { m{^/usr(.*)} ? $1 : () } @set_id) : '';
my $self = tool('dpkg-query', '-W', '-f', 'self ${Package}\n', 'dpkg');
part('owners', $status, $owners . $self);
my %packages = map { /^([a-z0-9.+:-]*): \// ? ($1 => 1) : () } split /\n/, $owners;
# Saying nothing is how dpkg says that nothing changed: so it is asked for something that it cannot be silent about.
my $looked = tool({ errors => 1 }, 'dpkg', '--verify', 'palisade-is-no-package') =~ /not installed/ ? "looked\n" : '';
my $changed = %packages ? tool('dpkg', '--verify', sort keys %packages) : '';
my $verified = %packages ? $status : 0;
part('changed', $verified > 1 ? 1 : 0, $looked . lines_of($changed, sub { !/^missing / }));
