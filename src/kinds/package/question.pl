# A last line of our own shows that the query ran to its end: dpkg-query exits 1 where any name is unknown.
my $known = tool('dpkg-query', '-W', '-f', '${Package} ${db:Status-Status} ${Version}\n', given('packages'));
text($known) if length $known;
text("status $status");
my $self = tool('dpkg-query', '-W', '-f', 'self ${Package}\n', 'dpkg');
text($self) if length $self;
