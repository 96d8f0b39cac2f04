live_table();
part_of('addresses', 'ip', '-o', 'address', 'show');
my $bridges = join '', map { (is_folder("/sys/class/net/$_/bridge") ? 'bridge ' : 'plain ') . field($_) . "\n" } names('/sys/class/net');
part('bridges', 0, $bridges);
my $routes = tool('ip', '-4', 'route', 'show', 'table', 'all');
$routes .= tool('ip', '-6', 'route', 'show', 'table', 'all') if $status == 0;
part('routes', $status, $routes);
part('switches', forwarding());
my ($passed, $failed) = ('', 0);
if (defined program('nft')) { $passed .= lines_of(tool('nft', '-s', '-t', 'list', 'ruleset'), sub { /dnat |xt target "DNAT"/ }) }
for my $save ('iptables-save', 'ip6tables-save') {
    $passed .= lines_of(tool({ quiet => 1 }, $save, '-t', 'nat'), sub { /DNAT/ }) if defined program($save);
}
if ((contents('/proc/net/ip_tables_names') // '') =~ /^nat$/m) {
    $passed .= lines_of(tool('iptables-legacy-save', '-t', 'nat'), sub { /DNAT/ });
}
part('passed', 0, $passed);
part_of('listeners', 'ss', '-H', '-tulnp');
