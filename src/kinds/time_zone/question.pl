# The file that a path leads to, through links of root's: 0 and the file, 1 where there is none, 2 where that cannot be told.
sub lead {
    my ($path) = @_;
    my ($kind, undef, $place) = reach($path, 1);
    return (0, field($place)) if defined $kind && $kind =~ /^regular /;
    return (1, '') if !defined $kind && is_absent();
    warn field($path) . ': ' . (defined $kind ? "a $kind" : $!) . "\n";
    return (2, '');
}
part('localtime', lead('/etc/localtime'));
my ($failed, $zones) = (0, '');
for my $path (given('zones')) {
    my ($status, $place) = lead($path);
    $failed = $status if $status > 1;
    $zones .= field($path) . "\t$place\n";
}
part('zones', $failed, $zones);
my $name = contents('/etc/timezone');
part('timezone', defined $name ? (0, field($name =~ /\A([^\n]*)/)) : (is_absent() ? 1 : 2, ''));
