part('marker', cat('/etc/palisade/environment'));
part('machine', cat('/etc/machine-id'));
part_of('addresses', 'ip', '-o', 'address', 'show');
my ($failed, $keys) = (0, '');
for my $path (paths('/etc/ssh', qr/^ssh_host_.*_key\.pub\z/s)) {
    my $text = contents($path);
    if (defined $text) { $keys .= $text } else { warn field($path) . ": $!\n"; $failed = 2 }
}
part('hostkeys', $failed || (length $keys ? 0 : 2), $keys);
# Keys that people enter by, as each account may read its own.
my $found = '';
for my $path (map { ($_, $_ . '2') } paths('/etc/ssh/authorized_keys.d', qr/^[^.]/)) {
    next if !is_file($path);
    my $text = contents($path);
    $found .= field($path) . "\t$_\n" for split /\n/, $text // '';
}
for (split /\n/, tool('getent', 'passwd')) {
    my (undef, undef, $uid, $gid, undef, $home) = split /:/, $_, -1;
    next if !defined $home || $home !~ m{^/};
    my @paths = grep { lstat $_ || !is_absent() } "$home/.ssh/authorized_keys", "$home/.ssh/authorized_keys2";
    next if !@paths;
    my $told = as_account($uid, $gid, sub {
        my $all = '';
        for my $path (@paths) {
            sysopen my $file, $path, O_RDONLY | O_NONBLOCK | O_NOCTTY or next;
            next if !-f $file;
            my $text = drained($file) // next;
            $all .= field($path) . "\t$_\n" for split /\n/, $text;
        }
        return $all;
    });
    $found .= $told // '';
}
part('keys', 0, "looked\n$found");
