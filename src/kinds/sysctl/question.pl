# Settings of the running kernel, and the files that are read behind ours. Fields are separated by tabs.
container();
line('uid', $>);
# what may be written is the kernel's word (access(2)), and not what the bits of the file say: the pragma filetest's bit
BEGIN { $^H |= 0x00400000 }
my (@all, %once);
my @keys = given('keys');
while (my ($key, $pattern) = splice @keys, 0, 2) {
    # a * stands for every name
    my @found = '/proc/sys';
    for my $part (split m{/}, $pattern) {
        my $matches = join '.*', map { quotemeta } split /\*/, $part, -1;
        @found = map { my $at = $_; $part =~ /\*/ ? paths($at, qr/^(?!\.)$matches\z/s) : "$at/$part" } @found;
    }
    my $none = 1;
    for my $path (grep { -e $_ } @found) {
        $none = 0;
        line('key', $key, substr($path, 10), -w $path ? 'write' : 'read');
        push @all, $path;
    }
    line('absent', $key) if $none;
}
my $files = 0;
for my $ours (given('files')) {
    my ($name) = $ours =~ m{([^/]*)\z};
    for my $path (map { paths($_, qr/^[^.].*\.conf\z/s) } map { "$_/sysctl.d" } '/etc', '/run', '/usr/local/lib', '/usr/lib') {
        my ($other) = $path =~ m{([^/]*)\z}s;
        next if !is_file($path) || $other le $name;
        line('later', $ours, field($path), base64(contents($path) // die "$path: $!\n"));
        $files++;
    }
}
for my $path (@all) {
    # some can only be written, others not by us: they are not said, and so unread
    my $value = contents($path) // do { warn "$path: $!\n"; next };
    line('value', "$path:$_") for split /\n/, $value;
}
line('asked', scalar @all, $files);
file_state($_) for given('files');
