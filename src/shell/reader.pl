# What questions are asked with: tools, and files that nobody but root can swap while they are read. It stands in front
# of ask.pl, as one program.
#
# Modules are taken from where packages put them alone: what lies below /usr/local or in /etc/perl may be somebody's.
BEGIN { @INC = grep { m{^/usr/(?:lib|share)/} } @INC }
use strict;

package reader;
use Fcntl qw(O_RDONLY O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_NOCTTY S_ISREG S_ISDIR S_ISLNK S_ISFIFO S_ISSOCK S_ISBLK);

our $status;        # of the tool that ran last
my $said = '';      # the answer, sent when the question ends
my $bytes = 0;      # how much a tool or the answer may say
my %given;          # the question's words, by the name of each list
my $most = 1 << 20; # bytes of a file that are read

sub main::begin_reader {
    ($bytes, my @words) = @_;
    while (@words) {
        my ($name, $count) = splice @words, 0, 2;
        $given{$name} = [splice @words, 0, $count];
    }
}

sub main::reader_said { return $said }

# Words that came by the environment, which root alone can read: every account can read the words of a command.
my %unseen = map { split / /, $_, 2 } split /\n/, (delete $ENV{palisade_unseen}) // '';
sub unseen { my ($name) = @_; return $unseen{$name} }

# The words that the question was given under a name.
sub given { my ($name) = @_; return @{ $given{$name} || [] } }

# Words of a host, for a field of a line: whatever could end the field or the line is written as %XX.
sub field {
    my ($word) = @_;
    $word =~ s/([^\x20-\x24\x26-\x7e\x80-\xff])/sprintf '%%%02X', ord $1/ge;
    return $word;
}

# A line whose fields stand behind tabs.
sub line { $said .= join("\t", map { defined $_ ? $_ : '' } @_) . "\n" }

# Text as it stands, with a line's end behind it.
sub text { my ($text) = @_; $said .= $text; $said .= "\n" if $text !~ /\n\z/ }

# Where a program is, as a shell would find it.
sub program {
    my ($name) = @_;
    return $name if $name =~ m{/};
    for my $folder (split /:/, $ENV{PATH}) { return "$folder/$name" if -f "$folder/$name" && -x _ }
    return undef;
}

# What a tool says on standard output. Its status is $status: 127 where there is no such program, 128 and more where a
# signal ended it. A reference in front of its name is what it reads; {errors => 1} takes standard error along, {quiet => 1}
# leaves it out; {each => ...} is called with each record, up to a NUL, and what it says is nothing.
sub tool {
    my (%how, $input);
    %how = %{ shift() } if ref $_[0] eq 'HASH';
    $input = ${ shift() } if ref $_[0];
    my @command = @_;
    pipe my $reader, my $writer or die "pipe: $!\n";
    my ($feed, $feeder);
    if (defined $input) { pipe $feed, my $to or die "pipe: $!\n"; $feeder = feed($to, $input); close $to; }
    my $child = fork;
    defined $child or die "fork: $!\n";
    if (!$child) {
        open STDIN, '<&', $feed or exit 126 if $feed;
        open STDOUT, '>&', $writer or exit 126;
        open STDERR, '>&', $writer or exit 126 if $how{errors};
        open STDERR, '>', '/dev/null' or exit 126 if $how{quiet};
        no warnings 'exec';
        exec { $command[0] } @command or print STDERR "$command[0]: $!\n";
        exit 127;
    }
    close $writer;
    close $feed if $feed;
    my $text = '';
    while (1) {
        my $length = sysread $reader, $text, 65536, length $text;
        next if !defined $length && $! == 4;
        last if !$length;
        while ($how{each} && (my $end = index $text, "\0") >= 0) {
            $how{each}->(substr $text, 0, $end);
            substr $text, 0, $end + 1, '';
        }
        if (length $text > $bytes) { kill 'KILL', $child; die "$command[0] says more than $bytes bytes\n"; }
    }
    for my $process ($child, defined $feeder ? $feeder : ()) {
        while (waitpid($process, 0) < 0) { last if $! != 4 }
        $status = $? & 127 ? 128 + ($? & 127) : $? >> 8 if $process == $child;
    }
    return $text;
}

# A process that writes to whoever reads, as slowly as that one likes.
sub feed {
    my ($to, $input) = @_;
    my $child = fork;
    defined $child or die "fork: $!\n";
    return $child if $child;
    $SIG{PIPE} = 'DEFAULT';
    while (length $input) {
        my $written = syswrite $to, $input;
        next if !defined $written && $! == 4;
        last if !defined $written;
        substr $input, 0, $written, '';
    }
    exit 0;
}

# The lines of a text that fulfil a condition, each with its end.
sub lines_of { my ($text, $wanted) = @_; return join '', map { "$_\n" } grep { $wanted->() } split /\n/, $text }

# Something that was asked, behind its name, line by line; then its status and its length, so that a line that was lost
# on the way makes it unread and not shorter. `part` in resource/parts.rs reads it.
sub part {
    my ($name, $status, $text) = @_;
    $text =~ tr/\0//d;
    $text =~ s/\n+\z//;
    $said .= "$name\t$_\n" for length $text ? split(/\n/, $text, -1) : '';
    $said .= join("\t", 'part', $name, $status, length $text) . "\n";
}

# The same, of a tool.
sub part_of { my ($name, @command) = @_; my $text = tool(@command); part($name, $status, $text); return $text }

# The same in another form, which `sections` in firewall/nftables and `Parts` in lockout read: without a length.
sub section {
    my ($name, $status, $text) = @_;
    $text =~ tr/\0//d;
    $text =~ s/\n+\z//;
    $said .= "$name: $_\n" for length $text ? split(/\n/, $text, -1) : '';
    $said .= "$name exit $status\n";
}

sub section_of { my ($name, @command) = @_; my $text = tool(@command); section($name, $status, $text); return $text }

# The exit status of the question, where it is not 0.
our $ends_with = 0;
sub exit_with { ($ends_with) = @_ }

# The two numbers of a device, as stat(1) shows them.
sub device_numbers {
    my ($device) = @_;
    return ($device >> 8 & 0xfff | $device >> 32 & 0xfffff000, $device & 0xff | $device >> 12 & 0xffffff00);
}

# What stands at an absolute path, reached by holding each folder on the way open. Links are followed where root alone can
# make them, and the last one where $follow says so. Returns what it is in stat(1)'s words, the handle where it is a
# regular file, where it lies, and its lstat; or nothing, and $! says why.
sub reach {
    my ($path, $follow) = @_;
    my @left = grep { length && $_ ne '.' } split m{/}, $path;
    my ($links, @at) = (0);
    chdir '/' or return;
    return ('directory', undef, '/', lstat '/') if !@left;
    while (1) {
        my $name = shift @left;
        if ($name eq '..') {
            chdir '..' or return;
            pop @at;
            return ('directory', undef, '/' . join('/', @at), lstat '.') if !@left;
            next;
        }
        my @found = lstat $name or return;
        my $mode = $found[2];
        if (S_ISLNK($mode) && (@left || $follow)) {
            my @folder = lstat '.';
            # a link that another made may lead to any other place in the next moment
            return ('link of another', undef, '/' . join('/', @at, $name), @found)
                if $folder[4] || $folder[2] & 0002 || ($folder[2] & 0020 && $folder[5]);
            if (++$links > 40) { $! = 40; return; } # ELOOP
            my $target = readlink $name;
            defined $target or return;
            if ($target =~ m{^/}) { chdir '/' or return; @at = (); }
            unshift @left, grep { length && $_ ne '.' } split m{/}, $target;
            return ('directory', undef, '/' . join('/', @at), lstat '.') if !@left;
            next;
        }
        if (@left) {
            sysopen my $folder, $name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK or return;
            chdir $folder or return;
            push @at, $name;
            next;
        }
        my $place = '/' . join '/', @at, $name;
        return (kind_of($mode, $found[7]), undef, $place, @found) if !S_ISREG($mode);
        sysopen my $file, $name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY or return;
        @found = stat $file or return;
        # it may be another by now
        return (kind_of($found[2], $found[7]), undef, $place, @found) if !S_ISREG($found[2]);
        return (kind_of($found[2], $found[7]), $file, $place, @found);
    }
}

sub kind_of {
    my ($mode, $size) = @_;
    return $size ? 'regular file' : 'regular empty file' if S_ISREG($mode);
    return 'directory' if S_ISDIR($mode);
    return 'symbolic link' if S_ISLNK($mode);
    return 'fifo' if S_ISFIFO($mode);
    return 'socket' if S_ISSOCK($mode);
    return 'block special file' if S_ISBLK($mode);
    return 'character special file';
}

# What a handle holds, up to $most bytes and one more.
sub drained {
    my ($file) = @_;
    my $text = '';
    while (length $text <= $most) {
        my $length = sysread $file, $text, $most + 1 - length $text, length $text;
        next if !defined $length && $! == 4;
        defined $length or return undef;
        last if !$length;
    }
    return $text;
}

# Whether there is nothing, as far as the last failed call says: ENOENT or ENOTDIR. EINTR is 4, on every Linux.
sub is_absent { return $! == 2 || $! == 20 }

# What a file of root's holds, through links of root's; undef where it cannot be read or is over a mebibyte.
sub contents {
    my ($path) = @_;
    my ($kind, $file) = reach($path, 1);
    $! = 22 if defined $kind && !$file; # EINVAL
    return undef if !$file;
    my $text = drained($file);
    return defined $text && length $text <= $most ? $text : undef;
}

# The first line of one, without its end.
sub first_line { my $text = contents(@_); return undef if !defined $text; $text =~ /\A([^\n]*)/; return $1 }

# The same as an answer of `cat`: status and text.
sub cat {
    my ($path) = @_;
    my $text = contents($path);
    return (0, $text) if defined $text;
    warn "$path: $!\n";
    return (1, '');
}

# Whether a folder, a regular file or anything at all is there, through links.
sub is_folder { return -d $_[0] }
sub is_file { return -f $_[0] }
sub is_there { my @found = lstat $_[0]; return scalar @found }

# The names in a folder in the order of their bytes, those that begin with a dot last; none where there is no folder.
sub names {
    my ($folder) = @_;
    opendir my $open, $folder or return;
    my @names = grep { $_ ne '.' && $_ ne '..' } readdir $open;
    return ((sort grep { !/^\./ } @names), (sort grep { /^\./ } @names));
}

# Paths in a folder whose names match.
sub paths { my ($folder, $matches) = @_; return map { "$folder/$_" } grep { $_ =~ $matches } names($folder) }

my (%user_names, %group_names);

sub user_name { my ($id) = @_; return $user_names{$id} //= (getpwuid $id)[0] // 'UNKNOWN' }
sub group_name { my ($id) = @_; return $group_names{$id} //= (getgrgid $id)[0] // 'UNKNOWN' }

# The answer about one file: path, kind, mode, owner, group, length, and the bytes in base64.
sub state_line {
    my ($path, $kind, $text, @found) = @_;
    my ($length, $body) = (0, '');
    if (defined $text) {
        if (length $text > $most) { $kind = 'file over 1 MiB'; }
        else { ($length, $body) = (length $text, base64($text)); }
    }
    my @owners = (field(user_name($found[4])), field(group_name($found[5])));
    return join("\t", field($path), $kind, sprintf('%o', $found[2] & 07777), @owners, $length, $body) . "\n";
}

# Says what stands at a path of root's, without following its last link. Says nothing where that cannot be told. Returns
# what it is, where it is anything, and what it holds, where it is a file.
sub file_state {
    my ($path) = @_;
    my ($kind, $file, undef, @found) = reach($path, 0);
    if (!defined $kind) {
        if (is_absent()) { $said .= field($path) . "\tabsent\n"; }
        else { warn field($path) . ": $!\n"; }
        return;
    }
    my $text;
    if ($file && !defined($text = drained($file))) { warn field($path) . ": $!\n"; return; }
    $said .= state_line($path, $kind, $text, @found);
    return ($kind, defined $text && length $text <= $most ? $text : undef);
}

sub base64 {
    my ($bytes) = @_;
    my $text = pack 'u', $bytes;
    $text =~ s/^.//mg;
    $text =~ tr/\n//d;
    $text =~ tr|` -_|AA-Za-z0-9+/|;
    my $missing = (3 - length($bytes) % 3) % 3;
    substr $text, -$missing, $missing, '=' x $missing if $missing;
    return $text;
}

# Does something as an account of the host, with its rights alone, and gives what that says. It has five seconds: what an
# account puts in the way (a file system of its own that never answers, a signal) is its own loss.
sub as_account {
    my ($uid, $gid, $deed) = @_;
    return $deed->() if !$uid;
    pipe my $reader, my $writer or die "pipe: $!\n";
    my @groups = groups_of($uid, $gid);
    require POSIX;
    my $child = fork;
    defined $child or die "fork: $!\n";
    if (!$child) {
        close $reader;
        $) = "@groups";
        # nothing is done with root's rights where they could not be given up, saved ones included
        POSIX::setgid($gid) && POSIX::setuid($uid) or exit 1;
        exit 1 if $< != $uid || $> != $uid || int($( ) != $gid || int($) ) != $gid;
        my $told = $deed->();
        while (length $told) {
            my $written = syswrite $writer, $told;
            last if !defined $written;
            substr $told, 0, $written, '';
        }
        # the last line says that nothing is missing
        syswrite $writer, "whole\n";
        exit 0;
    }
    close $writer;
    my ($told, $ended) = ('', 0);
    my $until = time + 5;
    while (length $told <= 4 * $most) {
        my $ready = '';
        vec($ready, fileno $reader, 1) = 1;
        last if !select $ready, undef, undef, $until > time ? $until - time : 0;
        my $length = sysread $reader, $told, 65536, length $told;
        next if !defined $length && $! == 4;
        last if !$length;
    }
    kill 'KILL', $child;
    while (waitpid($child, 0) < 0) { last if $! != 4 }
    return $told =~ s/whole\n\z// ? $told : undef;
}

my %groups;

# The group of an account and every other that it is in.
sub groups_of {
    my ($uid, $gid) = @_;
    if (!%groups) {
        while (my (undef, undef, $id, $members) = getgrent) { push @{ $groups{$_} }, $id for split / /, $members }
        endgrent;
    }
    return ($gid, $gid, @{ $groups{ user_name($uid) } || [] });
}

package main;
