# What lends rights, its owner's or those of its capabilities, what everyone may write, and which packages brought the former. tmpfs is left out: what lies
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
# What a program may do by itself (capabilities(7)) stands in an attribute of its file. lgetxattr(2) has a number by the
# architecture of this perl (elf(5), e_machine): 62 is x86-64, 183 AArch64.
open my $perl, '<', '/proc/self/exe' or die "/proc/self/exe: $!\n";
sysread $perl, my $head, 20;
my $lgetxattr = { 62 => 192, 183 => 9 }->{unpack 'x18 v', $head};
my $walk = defined $lgetxattr ? "asked\n" : '';
my $record = sub {
    my ($said) = @_;
    if ($said =~ m{^may-run (/.*)}s) {
        my ($path, $attribute, $held) = ($1, 'security.capability', "\0" x 64);
        return if !defined $lgetxattr;
        my $length = syscall $lgetxattr, $path, $attribute, $held, length $held;
        # none, no such attribute there, or gone meanwhile
        return if $length < 0 && ($! == 61 || $! == 95 || $! == 2);
        $said = 'capable ' . ($length < 0 ? 'error-' . ($! + 0) : unpack 'H*', substr $held, 0, $length) . " $path";
    }
    # names may hold line breaks: they become question marks, so that no name makes a line
    $said =~ tr/\n/?/;
    $walk .= "$said\n";
    die "what lends rights fills more than $bytes bytes\n" if length $walk > $bytes;
};
tool(
    { each => $record },
    'timeout', '25', 'find', '/', @starts, '-xdev', '-ignore_readdir_race',
    '(', (map { $_ eq '/proc' ? ('-path', $_) : ('-o', '-path', $_) } '/proc', '/sys', map { "/var/lib/$_" } qw(docker containerd containers machines lxc)),
    ')', '-prune', '-o',
    '(', '(', '-path', '/', '-printf', 'walked\0', ')', ',', '(', '-type', 'f', '-perm', '/6000', '-printf', 'set-id %m %u:%g %p\0', ')', ',',
    '(', '-type', 'f', '-perm', '/0111', '-printf', 'may-run %p\0', ')', ',',
    '(', '-perm', '-0002', '(', '-type', 'f', '-o', '-type', 'd', '!', '-perm', '-1000', ')', '-printf', 'writable %p\0', ')', ')');
part('walk', 0, $walk . "found $status");
my @lends = map { m{^(?:set-id [0-7]+|capable) \S+ (/[A-Za-z0-9._+/-]*)$} ? $1 : () } split /\n/, $walk;
# Packages name /bin/su where the merged /usr has /usr/bin/su.
my @names = map { m{^/usr(.*)} ? ($_, $1) : $_ } @lends;
# What stands at the first path of a diversion is not the file of the package that has this path; that one stands at the
# second (dpkg-divert(1)). Three lines each; the third is a colon where an administrator diverted it.
my $diversions = contents('/var/lib/dpkg/diversions');
my $unread = defined $diversions || is_absent() ? 0 : 1;
my @diversions = split /\n/, $diversions // '';
my %asked = map { $_ => 1 } @names;
my $diverted = '';
while (my ($from, $to, $by) = splice @diversions, 0, 3) {
    $diverted .= "from $by $from\n" if $asked{$from};
    $diverted .= "to $by $to\n" if $asked{$to};
}
part('diverted', $unread, $diverted);
my $owners = @lends ? tool({ quiet => 1 }, 'dpkg-query', '-S', @names) : '';
my $self = tool('dpkg-query', '-W', '-f', 'self ${Package}\n', 'dpkg');
part('owners', $status, $owners . $self);
my %packages = map { /^([a-z0-9.+:-]*): \// ? ($1 => 1) : () } split /\n/, $owners;
# Saying nothing is how dpkg says that nothing changed: so it is asked for something that it cannot be silent about.
my $looked = tool({ errors => 1 }, 'dpkg', '--verify', 'palisade-is-no-package') =~ /not installed/ ? "looked\n" : '';
my $changed = %packages ? tool('dpkg', '--verify', sort keys %packages) : '';
my $verified = %packages ? $status : 0;
part('changed', $verified > 1 ? 1 : 0, $looked . lines_of($changed, sub { !/^missing / }));
