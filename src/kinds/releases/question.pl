# The journal of each release, in base64.
my ($folder) = given('folder');
my ($file) = given('file');
my ($failed, $all) = (0, '');
my ($above) = $folder =~ m{^(.*)/};
for my $path ($above, $folder) {
    if (is_there($path) && !opendir my $open, $path) { $failed = 1 }
}
for my $name ($failed ? () : names($folder)) {
    my $path = "$folder/$name/$file";
    if (!is_there($path)) { $all .= 'none ' . field($name) . "\n"; next }
    my $text = contents($path);
    if (!defined $text) { warn field($path) . ": $!\n"; $failed = 1; last }
    $all .= join(' ', 'journal', field($name), base64($text)) . "\n";
}
part('journals', $failed, $failed ? '' : $all . 'looked');
