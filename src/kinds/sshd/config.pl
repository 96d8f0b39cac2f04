# Lines `line TAB FILE:NUMBER:TEXT` of the main file and all drop-ins, in sshd's order, then `lines TAB STATUS`: 0 where
# there is any, 1 where there is nothing but comments, 2 where a file could not be read.
sub configuration {
    my ($unread, @all) = (0);
    my $drop_ins = '/etc/ssh/sshd_config.d';
    for my $path ('/etc/ssh/sshd_config', grep { is_file($_) } paths($drop_ins, qr/^[^.].*\.conf\z/s)) {
        my $text = contents($path);
        if (!defined $text) { warn field($path) . ": $!\n"; $unread = 1; next; }
        my $number = 0;
        for (split /\n/, $text) {
            $number++;
            next if /^\s*(?:#|$)/;
            s/\s+$//;
            push @all, field($path) . ":$number:$_";
        }
    }
    line('line', $_) for @all;
    line('lines', $unread ? 2 : @all ? 0 : 1);
    return @all;
}
