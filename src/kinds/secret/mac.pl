# What compares the bytes of a file without saying them: HMAC-SHA-256 (RFC 2104) by sha256sum, since perl-base has no digest.
# Neither the key nor the bytes are words of a command: they come by the environment of root's, and by standard input.
sub sha256 {
    my ($bytes) = @_;
    my ($sum) = tool(\$bytes, 'sha256sum') =~ /\A([0-9a-f]{64}) / or die "sha256sum does not answer\n";
    return pack 'H*', $sum;
}

sub mac {
    my ($key, $bytes) = @_;
    my $block = pack 'H*', $key;
    $block .= "\0" x (64 - length $block);
    my ($inner, $outer) = map { $block ^ (chr($_) x 64) } 0x36, 0x5c;
    return unpack 'H*', sha256($outer . sha256($inner . $bytes));
}

# What stands at a path of root's, its last link not followed: what it is, the digest of its bytes where it is a file of at
# most a mebibyte, and its lstat.
sub mac_of {
    my ($path, $key) = @_;
    my ($kind, $file, undef, @found) = reach($path, 0);
    return if !defined $kind;
    my $bytes = $file ? drained($file) : undef;
    return ($kind, undef, @found) if !defined $bytes || length $bytes > 1 << 20;
    return ($kind, mac($key, $bytes), @found);
}

# Whether any folder above a path is one that another may write.
sub is_foreign {
    my ($path) = @_;
    my ($folder) = $path =~ m{^(.*)/}s;
    my $above = '';
    for my $part ('', grep { length } split m{/}, $folder) {
        $above = $part eq '' ? '/' : $above eq '/' ? "/$part" : "$above/$part";
        my @found = lstat $above or return 0; # palisade makes what is not there, as root
        if (-l _) {
            my (undef, undef, $place) = reach($above, 1);
            # a link of root's leads to a place that is looked at in its turn; where it leads nowhere, nothing is there
            return defined $place ? is_foreign("$place/x") : 0;
        }
        return 1 if $found[4] || $found[2] & 0002 || ($found[2] & 0020 && $found[5]);
    }
    return 0;
}
