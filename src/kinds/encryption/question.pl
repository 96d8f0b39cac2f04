# Each part is shown behind a mark with the exit status of its program and the number of its lines, each of which stands
# behind a space, so that nothing that a host holds can be taken for a mark, and no line is missed unnoticed.
sub show {
    my ($name, $failed, $text) = @_;
    $text =~ tr/\0//d;
    $text =~ s/\n+\z//;
    my @lines = length $text ? split(/\n/, $text, -1) : ();
    text("\@$name $failed " . @lines);
    text(" $_") for @lines;
}
sub show_tool { my ($name, @command) = @_; my $text = tool({ errors => 1 }, @command); show($name, $status, $text); return $text }
# What is asked of each of some places, a line each; the first that cannot be read ends it.
sub show_each {
    my ($name, $ask, @places) = @_;
    my $text = '';
    for (@places) {
        my $line = $ask->($_) // do { show($name, 1, "$text$_: $!"); return };
        $text .= $line;
    }
    show($name, 0, $text);
}
my $is_container = is_there('/run/systemd/container');
text('container ' . ($is_container ? first_line('/run/systemd/container') // '' : 'none'));
if (!$is_container) {
    my $disks = show_tool('lsblk', 'lsblk', '--json', '--bytes', '--output', 'NAME,KNAME,MAJ:MIN,PATH,TYPE,FSTYPE,SIZE,RM,RO');
    show('mounts', cat('/proc/self/mountinfo'));
    show('swaps', cat('/proc/swaps'));
    show_each('devices', sub {
        my ($uuid, $name) = map { first_line("/sys/block/$_[0]/dm/$_") } 'uuid', 'name';
        return defined $uuid && defined $name ? "$_[0] $uuid $name\n" : undef;
    }, grep { is_there("/sys/block/$_/dm/name") } grep { /^dm-/ } names('/sys/block'));
    show_tool('tables', 'dmsetup', 'table');
    my %backing = (zram => 'backing_dev', loop => 'loop/backing_file');
    my @backed = map { my $of = $_; map { [$_, "/sys/block/$_/$backing{$of}"] } grep { /^$of/ } names('/sys/block') } 'zram', 'loop';
    show_each('backing', sub {
        my $file = first_line($_[0][1]);
        return defined $file ? "$_[0][0] $file\n" : undef;
    }, grep { is_there($_->[1]) } @backed);
    my ($unread, $crypttab) = is_there('/etc/crypttab') ? cat('/etc/crypttab') : (0, '');
    show('crypttab', $unread, $crypttab);
    my @entries = grep { @$_ && $_->[0] !~ /^#/ } map { [split ' '] } split /\n/, $crypttab;
    show_each('keys', sub {
        my ($key) = @_;
        my @found = stat $key or return $! == 2 || $! == 20 ? "absent $key\n" : undef;
        return sprintf "%d:%d %s\n", device_numbers($found[0]), $key;
    }, grep { defined && m{^/} && !m{^/dev/} } map { $_->[2] } @entries);
    my ($failed, $held) = (0, '');
    if (grep { m{^[^#]*\s/\S} } split /\n/, $crypttab) {
        for my $image (paths('/boot', qr/^initrd\.img-/)) {
            my $list = tool('lsinitramfs', $image);
            if ($status) { $failed = $status; last }
            $held .= join '', map { "$image $_\n" } grep { m{(?:^|/)cryptroot/keyfiles/.|\.(?:key|keyfile)$} } split /\n/, $list;
        }
    }
    show('initramfs', $failed, $held);
    my ($broken, $headers, %once) = (0, '');
    for my $device (sort grep { !$once{$_}++ } map { /^(\S+) crypto_LUKS$/ ? $1 : () } split /\n/, tool('lsblk', '--noheadings', '--raw', '--output', 'PATH,FSTYPE')) {
        my $dump = tool('cryptsetup', 'luksDump', $device);
        if ($status) { $broken = $status; last }
        $headers .= "$device " . ($dump =~ /^Version:\s*(.*)$/m ? $1 : '') . "\n";
        $headers .= "$device hw-opal\n" if $dump =~ /hw-opal/;
    }
    show('headers', $broken, $headers);
    show('fscrypt', 0, join '', map { my $at = (split / /)[1]; is_folder("$at/.fscrypt") ? "$at\n" : () } split /\n/, contents('/proc/mounts') // '');
    text('@end 0 0');
}
