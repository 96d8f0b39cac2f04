# The live table of ours, as nft lists it.
sub live_table {
    if (!defined program('nft')) { part('nft-missing', 0, 'yes'); return }
    my $version = tool('nft', '--version');
    my $tables = $status ? '' : tool('nft', 'list', 'tables');
    part('tables', $status, $version . $tables);
    part_of('live', 'nft', '-s', '-t', 'list', 'table', 'inet', 'palisade') if $tables =~ /^table inet palisade$/m;
}
