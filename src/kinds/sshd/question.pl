# sshd's own word for everybody, and for each account from each of its addresses. `sshd -T` takes 5 to 20 ms. Most
# answers are everybody's, and are not sent again.
my %wanted = map { $_ => 1 } given('keywords');
sub values_of { for (split /\n/, $_[0]) { my ($word, $rest) = split / /, $_, 2; line('value', $word, $rest) if $wanted{$word} } }
my $version = tool({ errors => 1 }, '/usr/sbin/sshd', '-V');
chomp $version;
line('version', $version);
line('unit', $_) for split /\n/, tool('systemctl', 'is-active', 'ssh.service', 'ssh.socket');
my $global = tool('/usr/sbin/sshd', '-T');
line('ask', '*', $status);
values_of($global);
my @asked = given('asked');
while (my ($user, $source, $address, $port) = splice @asked, 0, 4) {
    my $own = tool('/usr/sbin/sshd', '-T', '-C', "user=$user,host=$source,addr=$source,laddr=$address,lport=$port");
    my $whom = "$user $source $address $port";
    if ($status == 0 && $own eq $global) { line('ask', $whom, 'same'); next }
    line('ask', $whom, $status);
    values_of($own);
}
my %in;
while (my (undef, undef, $gid, $members) = getgrent) { push @{ $in{$_} }, $gid for split / /, $members }
endgrent;
for my $user (given('users')) {
    my (undef, undef, undef, $gid) = getpwnam $user;
    my %once;
    my @groups = defined $gid ? grep { !$once{$_}++ } $gid, @{ $in{$user} || [] } : ();
    line('groups', $user, join ' ', map { group_name($_) } @groups);
}
file_state($_) for given('files');
configuration();
