# account:name:uid:gid:shell:password:expires:changed:most:local, once per account, then how many, then the time. Of a name
# that stands twice in shadow the first line counts, as for libc.
my (%local, %shadow);
for (split /\n/, contents('/etc/passwd') // '') { $local{(split /:/)[0] // ''} = 1 }
for (split /\n/, contents('/etc/shadow') // '') { my @entry = split /:/, $_, -1; $shadow{$entry[0]} //= \@entry if @entry }
my $count = 0;
for (split /\n/, tool('getent', 'passwd')) {
    my ($name, $word, $uid, $gid, undef, undef, $shell) = split /:/, $_, -1;
    my $entry = $shadow{$name};
    $word = $entry->[1] if $word eq 'x' && $entry;
    my $state = $word eq 'x' && !$entry ? 'missing' : $word eq '' ? 'empty' : $word =~ /^[!*]/ ? 'locked' : 'set';
    my @ageing = map { $entry->[$_] // '' } 7, 2, 4;
    text(join ':', 'account', $name, $uid, $gid, $shell // '', $state, @ageing, $local{$name} ? 1 : 0);
    $count++;
}
text("accounts:$count");
text('now:' . time);
