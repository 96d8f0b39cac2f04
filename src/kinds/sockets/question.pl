for (['listening', '-tulnp'], ['established', '-tn', 'state', 'established']) {
    my ($what, @which) = @$_;
    my $known = tool('ss', '-H', @which);
    text($known) if length $known;
    text("$what $status");
}
