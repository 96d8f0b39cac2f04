# Files below folders that somebody else than root may write: what is there is kept, taken away, and put back, so that
# nobody who swaps folders, links and pipes meanwhile gets anything by it. It stands behind shell/reader.pl and
# kinds/secret/mac.pl, as one program: the first argument says what is done.
#
# It is done from the folder that holds the file, each folder above it held open on the way; and where a link of
# another leads there, with the rights of whoever's folder holds that link. It exits 0 where it is done, 3 where the file is
# not what was expected, 4 where it could not be done. No copy ever lies beside the file under a name that stays.
package reader;
use Fcntl qw(O_WRONLY O_CREAT O_EXCL);

# Does something where a path is: in the folder that holds it, with the name alone; or as an account, with the path. Gives
# what that says, or nothing, and $! says why.
sub at_place {
    my ($path, $deed) = @_;
    my ($folder, $name) = $path =~ m{^(.*)/([^/]+)\z}s or return;
    my ($kind, undef, $place, @found) = reach(length $folder ? $folder : '/', 1);
    return if !defined $kind;
    if ($kind eq 'link of another') {
        my ($uid, $gid) = (stat '.')[4, 5];
        ($uid, $gid) = @found[4, 5] if !$uid;
        if (!$uid) { $! = 1; return } # EPERM: root follows no link that may be another's in the next moment
        return as_account($uid, $gid, sub { $deed->($path) });
    }
    if ($kind ne 'directory') { $! = 20; return } # ENOTDIR
    chdir '/' or return;
    for my $part (grep { length } split m{/}, $place) {
        sysopen my $inner, $part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK or return;
        chdir $inner or return;
    }
    my $told = $deed->($name);
    chdir '/';
    return $told;
}

# What is there, as it is kept: `file MODE UID GID` or `link UID GID`, a line's end, and what it holds or where it leads;
# `none`; `other`, which holds nothing; or `unkept`, a file that could not be read or is too large.
sub kept {
    my ($name) = @_;
    my @found = lstat $name;
    return is_absent() ? "none\n" : "other\n" if !@found;
    return "link $found[4] $found[5]\n" . readlink $name if -l _;
    return "other\n" if !-f _;
    sysopen my $file, $name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY or return "unkept\n";
    @found = stat $file;
    return "other\n" if !@found || !-f _;
    my $text = drained($file);
    return "unkept\n" if !defined $text || length $text > $most;
    return sprintf("file %o %d %d\n", $found[2] & 07777, $found[4], $found[5]) . $text;
}

# How the last call failed: its number, and its words.
sub failed { return sprintf "failed %d %s\n", $!, $! }

# Puts back, or in place, what `kept` gave.
sub put {
    my ($name, $what) = @_;
    my ($head, $body) = $what =~ /\A([^\n]*)\n(.*)\z/s or return "failed 22 it was not kept as it should be\n";
    my ($folder) = $name =~ m{^(.*/)}s;
    my $new = ($folder // '') . ".palisade-new-$$";
    if ($head =~ /^link /) { symlink $body, $new or return failed() }
    elsif (my ($mode, $uid, $gid) = $head =~ /^file ([0-7]+) (\d+) (\d+)$/) {
        sysopen my $file, $new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600 or return failed();
        my $left = $body;
        while (length $left) {
            my $written = syswrite $file, $left;
            if (!defined $written) { my $told = failed(); unlink $new; return $told }
            substr $left, 0, $written, '';
        }
        my $owned = $> != 0 || chown $uid, $gid, $file;
        if (!$owned || !chmod oct $mode, $file) { my $told = failed(); unlink $new; return $told }
        # the bytes are on the disk before the name is theirs
        require IO::Handle;
        $file->sync;
    }
    else { return "failed 22 it was not kept as it should be\n" }
    if (!rename $new, $name) { my $told = failed(); unlink $new; return $told }
    return "done\n";
}

# A file of root's own, in the journal.
sub write_own {
    my ($path, $text) = @_;
    open my $file, '>', $path or exit 4;
    print $file $text and close $file or exit 4;
}

sub read_own { my ($path) = @_; open my $file, '<', $path or return undef; local $/; return <$file> }

sub fails { my ($why) = @_; print STDERR field($why), "\n"; exit 4 }

my %deeds = (
    # The paths, of those given, that lie below a folder of another.
    foreign => sub { for (@_) { print "$_\n" if is_foreign($_) } },
    # What a regular file of root's is: MODE OWNER GROUP, and the digest of what it holds.
    mac => sub {
        my ($path) = @_;
        my (undef, $mac, @found) = mac_of($path, unseen('mac-key'));
        exit 3 if !defined $mac;
        print join(' ', sprintf('%04o', $found[2] & 07777), user_name($found[4]), group_name($found[5]), $mac), "\n";
    },
    # Keeps what is there: any; or if it is what was seen: none; link; file, with SHA256 MODE OWNER GROUP where that was read.
    keep => sub {
        my ($copy, $path, $kind, @seen) = @_;
        my $what = at_place($path, \&kept);
        $what = "none\n" if !defined $what && is_absent();
        $what = "other\n" if !defined $what && $kind eq 'any';
        exit 3 if !defined $what || $kind ne 'any' && $what !~ /^$kind\b/;
        if (@seen) {
            my ($head, $body) = $what =~ /\A([^\n]*)\n(.*)\z/s;
            my (undef, $mode, $uid, $gid) = split / /, $head;
            my ($sum) = split / /, tool(\$body, 'sha256sum');
            my $is = join ' ', $sum, sprintf('%04o', oct $mode), user_name($uid), group_name($gid);
            exit 3 if $is ne "@seen";
        }
        write_own($copy, $what);
    },
    # Takes it away. What it became since it was kept is kept in its place.
    remove => sub {
        my ($copy, $path) = @_;
        my $what = at_place($path, \&kept);
        # nothing is lost: a file of which there is no copy stays, and is found by the next look
        exit 0 if !defined $what || $what =~ /^(?:none|unkept)/;
        write_own($copy, $what) if $what !~ /^other/ && $what ne (read_own($copy) // '');
        my $told = at_place($path, sub { my ($name) = @_; return unlink($name) || is_absent() ? "done\n" : failed() }) // failed();
        # what its owner keeps from being taken away is found by the next look, and is in nobody else's way
        fails("$path: $told") if $told =~ /^failed (?:5|28|30) /; # EIO, ENOSPC, EROFS
    },
    # Puts a new file in place: its bytes lie in one file of the journal, `MODE OWNER GROUP` in another.
    write => sub {
        my ($new, $path) = @_;
        my ($mode, $owner, $group) = split ' ', read_own("$new.mode") // exit 4;
        my ($uid, $gid) = (scalar getpwnam $owner, scalar getgrnam $group);
        defined $uid && defined $gid or fails("there is no account $owner or group $group");
        my $what = sprintf("file %s %d %d\n", $mode, $uid, $gid) . (read_own($new) // exit 4);
        my $told = at_place($path, sub { put($_[0], $what) }) // failed();
        fails("$path: $told") if $told !~ /^done/;
    },
    # Puts back what was kept. Where the folder is gone since, nothing is missed; and where its owner keeps it from being
    # put back, the rest goes back all the same, and the copy stays in the journal. A disk that is full or broken is waited for.
    back => sub {
        my ($copy, $path) = @_;
        my $what = read_own($copy) // exit 0;
        # what could not be kept was not taken away either, or held nothing
        exit 0 if $what =~ /^(?:other|unkept)/;
        my $told = at_place($path, $what =~ /^none/
            ? sub { my ($name) = @_; return unlink($name) || is_absent() ? "done\n" : failed() }
            : sub { my ($name) = @_; return kept($name) eq $what ? "done\n" : put($name, $what) });
        exit 0 if !defined $told && is_absent();
        $told = failed() if !defined $told;
        exit 0 if $told =~ /^done/;
        fails("$path: $told") if $told =~ /^failed (?:5|28|30) /; # EIO, ENOSPC, EROFS
        my ($folder, $number) = $copy =~ m{^(.*)/old\.(\d+)\z} or exit 4;
        rename $copy, "$folder/left.$number" or exit 4;
        print STDERR field("$path: $told"), "it lies in $folder/left.$number\n";
    },
);

# Ends what runs as accounts whose access is over (name and id of each), in a few seconds: sessions and what they left behind,
# user managers, jobs. A service of the system is root's to stop, and is named; what does not end is counted.
$deeds{end} = sub {
    my %name = reverse @_;
    my (%kept, %ended);
    my $those = sub {
        my %found;
        for my $id (grep { /^\d+\z/ } names('/proc')) {
            my @ids = (contents("/proc/$id/status") // '') =~ /^Uid:\t(\d+)\t(\d+)/m or next;
            my ($uid) = grep { exists $name{$_} } @ids or next;
            my ($group) = (contents("/proc/$id/cgroup") // '') =~ /^0::(.*)$/m;
            if (($group // '') =~ m{^/system\.slice/(?:.*/)?([^/]+\.service)(?:/|$)} && $1 !~ /^(?:ssh|cron|atd)(?:@.*)?\.service$/) {
                $kept{$uid}{$1} = 1;
                next;
            }
            $found{$id} = $uid;
        }
        return %found;
    };
    my %left = $those->();
    for my $signal ('', 'TERM', 'KILL', 'KILL') {
        last if !%left;
        $ended{$left{$_}}{$_} = 1 for keys %left;
        if ($signal) { kill $signal, keys %left }
        else { tool({ quiet => 1 }, 'timeout', '5', 'loginctl', 'terminate-user', $_) for values %name }
        for (1 .. 10) { select undef, undef, undef, 0.1; %left = $those->(); last if !%left }
    }
    for my $uid (sort { $a <=> $b } keys %name) {
        my $left = grep { $_ == $uid } values %left;
        my $ended = keys %{ $ended{$uid} || {} };
        print join(' ', $name{$uid}, $ended - $left, $left, join(',', sort keys %{ $kept{$uid} || {} }) || '-'), "\n";
    }
};

my ($deed, @words) = @ARGV;
$bytes = 1 << 20;
umask 077;
$deeds{$deed} ? $deeds{$deed}->(@words) : exit 4;
exit 0;
