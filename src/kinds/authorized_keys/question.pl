# Every file that sshd might take keys from: where it does today, and where any line of its configuration says.
my $effective = tool('/usr/sbin/sshd', '-T');
my $sshd = $status;
my @written;
for (split /\n/, $effective) {
    my ($word, $rest) = split / /, $_, 2;
    line('effective', $word, $rest)
        if $word =~ /^(?:port|permitrootlogin|authorizedkeysfile|authorizedkeyscommand|trustedusercakeys)$/;
    push @written, $rest if $word eq 'authorizedkeysfile';
}
line('sshd', $sshd);
for (configuration()) { push @written, $1 if /^.*?:\d+:\s*"?authorizedkeysfile"?\s*=?\s*(.*)/i }
my @patterns = map { tr/"//d; split ' ' } @written;
line('pattern', $_) for @patterns;

# What %h, %u, %U and %% stand for (sshd_config(5), TOKENS); a path that is not whole begins in the account's home.
sub expanded {
    my ($pattern, $name, $uid, $home) = @_;
    my %token = (h => $home, u => $name, U => $uid);
    $pattern =~ s{%(.?)}{defined $token{$1} ? $token{$1} : '%'}ges;
    return $pattern if $pattern =~ m{^/};
    $home =~ s{/\z}{};
    return "$home/$pattern";
}

# What one account may read at a path, as sshd reads it: with the rights of the account, whatever leads there.
sub as_read {
    my ($path) = @_;
    my @found = lstat $path;
    # it is gone since it was seen
    return field($path) . "\tabsent\n" if !@found && ($! == 2 || $! == 20);
    return "unread\t" . field($path) . "\t$!\n" if !@found;
    my $said = '';
    my $at = $path;
    if (-l _) {
        $said = state_line($path, 'symbolic link', undef, @found);
        # nothing there: a link that leads nowhere
        sysopen my $behind, $path, O_RDONLY | O_NONBLOCK | O_NOCTTY or return $! == 13 ? $said . barred($path, @found) : $said;
        @found = stat $behind;
        return $said if !@found || !-f _;
        $at = readlink("/proc/self/fd/" . fileno $behind) // $path;
        return $said . join("\t", 'link', field($path), field($at)) . "\n" . body($at, $behind, @found);
    }
    return state_line($path, kind_of($found[2], $found[7]), undef, @found) if !-f _;
    sysopen my $file, $path, O_RDONLY | O_NONBLOCK | O_NOCTTY or return barred($path, @found);
    @found = stat $file;
    return state_line($path, kind_of($found[2], $found[7]), undef, @found) if !@found || !-f _;
    return body($path, $file, @found);
}

sub barred { my ($path, @found) = @_; return state_line($path, 'file that its account may not read', undef, @found) }

sub body {
    my ($path, $file, @found) = @_;
    my $text = drained($file);
    return "unread\t" . field($path) . "\t$!\n" if !defined $text;
    return state_line($path, kind_of($found[2], $found[7]), $text, @found);
}

my %shown;
sub show {
    my ($told) = @_;
    for (split /\n/, $told) {
        # a file of several accounts is said once, by the first of them that may read it
        my ($path, $rest) = m{^(/[^\t]*)\t(.*)} or do { line($_); next; };
        my $barred = $rest =~ /^file that its account/;
        next if exists $shown{$path} && !($shown{$path} && !$barred);
        $shown{$path} = $barred;
        line($_);
    }
}
my (@accounts, %account);
for (split /\n/, tool('getent', 'passwd')) {
    my ($name, undef, $uid, $gid, undef, $home) = split /:/, $_, -1;
    next if !length $name;
    push @accounts, [$name, $uid, $gid, $home // '/'];
    $account{$name} //= [$uid, $gid];
}

# The files that are root's own come first: what root reads there, no account's link to it can change.
my $folder = '/etc/ssh/authorized_keys.d';
my ($kind, undef, undef, @found) = reach($folder, 0);
if (!defined $kind) { line('directory', 'absent') if is_absent() }
elsif ($kind eq 'directory') {
    line('directory', sprintf '%o %s %s', $found[2] & 07777, user_name($found[4]), group_name($found[5]));
}
else { line('directory', $kind) }
# What a change that is not confirmed yet keeps beside its files, to go back by. sshd reads none of it.
my $armed = first_line('/var/lib/palisade/pending') // '';
for my $name (names($folder)) {
    my $path = "$folder/$name";
    next if length $armed && $name =~ /^\.palisade-\Q$armed\E-/;
    line('ours', field($path));
    my $of = $account{$name};
    # what lies behind a link is read as the account would read it; nobody's is not read
    if (-l $path && $of) {
        my $told = as_account(@$of, sub { as_read($path) });
        defined $told ? show($told) : line('unread', field($path), 'its account kept it from being read');
    }
    else { $shown{field($path)} = 0; file_state($path) }
}
for (@accounts) {
    my ($name, $uid, $gid, $home) = @$_;
    line('root', $uid) if $name eq 'root';
    my @paths = map { expanded($_, $name, $uid, $home) } '.ssh/authorized_keys', '.ssh/authorized_keys2', @patterns;
    # a path that is known not to be there needs nobody's rights to be looked at
    my %once;
    @paths = grep { !m{^/etc/ssh/authorized_keys\.d/} && !$once{$_}++ && (lstat $_ || !is_absent()) } @paths;
    next if !@paths;
    my $told = as_account($uid, $gid, sub { join '', map { as_read($_) } @paths });
    for (@paths) { line('of', field($name), field($_)) }
    if (defined $told) { show($told) }
    else { for (@paths) { line('unread', field($_), 'its account kept it from being read') } }
}
line('accounts', scalar @accounts);
