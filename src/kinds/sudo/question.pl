# Every sudoers file that sudo would read, in its order. Names with a dot or a ~ at the end are not read by sudo.
my %seen;
sub visit {
    my ($path) = @_;
    return if $seen{$path}++;
    line('file', field($path));
    my (undef, $text) = file_state($path);
    return if !defined $text;
    my ($folder) = $path =~ m{^(.*)/}s;
    for (split /\n/, $text) {
        my ($word, $target) = /^\s*(\S+)\s*(.*?)\s*$/ or next;
        next if $target eq '' || $target =~ /["%\\]/;
        $target = "$folder/$target" if $target !~ m{^/};
        if ($word eq '@include' || $word eq '#include') { visit($target) }
        elsif ($word eq '@includedir' || $word eq '#includedir') {
            line('directory', field($target));
            for my $entry (grep { !/\.|~\z/s } names($target)) {
                line('entry', field("$target/$entry"));
                visit("$target/$entry");
            }
        }
    }
}
visit('/etc/sudoers');
my %mark = ('/etc/sudo.conf' => 'conf', '/etc/nsswitch.conf' => 'switch');
for my $path ('/etc/sudo.conf', '/etc/nsswitch.conf') {
    next if !is_file($path);
    my $text = contents($path) // die "$path: $!\n";
    for (split /\n/, $text) {
        s/^\s+|\s+$//g;
        next if $_ eq '' || /^#/ || $path eq '/etc/nsswitch.conf' && !/^sudoers/;
        line($mark{$path}, $_);
    }
}
text('whole');
