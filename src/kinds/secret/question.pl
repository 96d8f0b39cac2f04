# What stands at the path of each secret. What a file holds is answered as a digest by a key, and in no other form.
my $key = unseen('mac-key');
for my $path (given('paths')) {
    my $whose = is_foreign($path) ? 'other' : 'root';
    my ($kind, $mac, @found) = mac_of($path, $key);
    if (!defined $kind) {
        if (is_absent()) { line(field($path), $whose, 'absent'); }
        else { warn field($path) . ": $!\n"; }
    }
    elsif (defined $mac) {
        line(field($path), $whose, 'file', sprintf('%o', $found[2] & 07777),
            field(user_name($found[4])), field(group_name($found[5])), $mac);
    }
    elsif ($kind =~ /^regular /) { line(field($path), $whose, 'other', 'file that could not be read, or has more than 1 MiB'); }
    else { line(field($path), $whose, 'other', $kind); }
}
