# fail2ban is asked before the kernel, so that whom it bans meanwhile is not missed there. One client for all questions,
# since each start of it takes a tenth of a second.
my $effective = tool('/usr/sbin/sshd', '-T');
section('sshd', $status, $status ? '' : lines_of($effective, sub { /^(?:loglevel|persource)/ }));
my ($ours) = given('file');
my $later = '';
my $folder = '/etc/fail2ban/jail.d';
for my $path ('/etc/fail2ban/jail.local', paths($folder, qr/^[^.].*\.conf\z/s), paths($folder, qr/^[^.].*\.local\z/s)) {
    next if $path eq $ours || $path =~ m{/defaults-debian\.conf\z} || !is_file($path);
    my $text = contents($path) // die "$path: $!\n";
    next if $text !~ /^\[sshd\]/m;
    $later .= ($path =~ m{^/etc/fail2ban/jail\.d/.*\.local\z}s && $path gt $ours ? '' : 'overruled ') . field($path) . "\n";
}
section('later', 0, $later);
if (defined program('fail2ban-client')) {
    text('fail2ban is present');
    my ($queries) = given('queries');
    my $answers = tool({ errors => 1 }, \$queries, 'timeout', '20', 'fail2ban-client', '-i');
    section('client', $status, $answers);
}
else { text('fail2ban is missing') }
my $has_nft = defined program('nft');
my @table = ('inet', 'palisade-bans');
if ($has_nft) {
    text('nft is present');
    my $tables = section_of('tables', 'nft', 'list', 'tables');
    if ($tables =~ /^table inet palisade-bans$/m) {
        my $live = tool('nft', '-s', '-t', 'list', 'table', @table);
        my $listed = $status;
        my %sets = map { /^\s*set (\S+) \{/ ? ($1 => 1) : () } split /\n/, $live;
        if (!$listed) { $live .= tool('nft', '-s', 'list', 'set', @table, $_) for grep { $sets{$_} } 'management4', 'management6' }
        section('live', $listed, $listed ? '' : $live);
        my ($failed, $held) = (0, '');
        for my $set (grep { $sets{$_} } 'ban4', 'ban6') {
            $held .= tool('nft', '-j', 'list', 'set', @table, $set);
            if ($status) { $failed = $status; last }
            $held .= "\n" if $held !~ /\n\z/;
        }
        section('held', $failed, $held);
    }
}
else { text('nft is missing') }
if ($has_nft) {
    my $list = 'nft -f - && nft -s -t list table inet palisade-bans &&
    nft -s list set inet palisade-bans management4 && nft -s list set inet palisade-bans management6';
    for my $ruleset (given('tables')) {
        my $listed = tool(\$ruleset, 'unshare', '-n', '/bin/sh', '-c', $list);
        section('desired', $status, $listed);
    }
}
