section('forwards', forwarding());
my ($unread, $legacy) = (0, '');
for my $names (grep { is_there($_) } '/proc/net/ip_tables_names', '/proc/net/ip6_tables_names') {
    my ($failed, $text) = cat($names);
    $legacy .= $text;
    if ($failed) { $unread = 1; last }
}
section('legacy', $unread, $legacy);
my $has_nft = defined program('nft');
if ($has_nft) {
    text('nft is present');
    my $tables = section_of('tables', 'nft', 'list', 'tables');
    section_of('live', 'nft', '-s', '-t', 'list', 'table', 'inet', 'palisade') if $tables =~ /^table inet palisade$/m;
    section_of('chains', 'nft', '-j', 'list', 'chains');
    # The lines of all rules that matter here. A line of a set's elements may hold any of these words, and does no harm.
    my $all = tool({ quiet => 1 }, 'nft', '-s', '-t', 'list', 'ruleset');
    my $listed = $status;
    $all = lines_of($all, sub { /^table |^\tchain | hook | dnat |"DNAT"|drop|reject|jump |goto / });
    $all = "\n" if $all eq '';
    my ($sum) = split / /, tool(\$all, 'sha256sum');
    section('rules', $listed || $status, $listed ? '' : $all . "sum $sum");
}
else {
    text('nft is missing');
    my $chains = '';
    if (defined program('iptables-save')) {
        $chains = join '', map { /^:(\S*) / ? "$1\n" : () } split /\n/, tool({ quiet => 1 }, 'iptables-save');
    }
    section('iptables', 0, $chains);
}
if ($has_nft) {
    for my $ruleset (given('rulesets')) {
        my $listed = tool(\$ruleset, 'unshare', '-n', '/bin/sh', '-c', 'nft -f - && nft -s -t list table inet palisade');
        section('desired', $status, $listed);
    }
}
file_state($_) for given('files');
