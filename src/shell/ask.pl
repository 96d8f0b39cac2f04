# Asks the questions of one script, one after the other, and answers each in a frame of its own: the reader is
# `frame` in shell.rs. Arguments: label, seconds, bytes and shell text of each question. The nonce comes in the
# environment, which root alone can read: whoever knew it while files of theirs are read could forge an answer.
#
# A question is a shell in a process group of its own. When its time is up the group is told to end, and killed two
# seconds later (status 124, or 137, as of coreutils' timeout). Once it has said as much as it may, nobody reads on.
# It is one program for all questions, of perl-base, which is essential on Debian: with `timeout` and `head` around each
# of them a look at a host would start twice as many processes.
use strict;

my $nonce = delete $ENV{palisade_nonce};
my @questions = @ARGV;
my $interrupted = 4; # EINTR
$SIG{PIPE} = 'IGNORE';
$| = 1;
select STDERR;
$| = 1;

sub mark {
    my $line = "\n$nonce @_\n";
    print STDOUT $line or exit 141;
    print STDERR $line or exit 141;
}

sub say_all {
    my ($said) = @_;
    while (length $said) {
        my $written = syswrite STDOUT, $said;
        defined $written or exit 141;
        substr $said, 0, $written, '';
    }
}

sub ask {
    my ($seconds, $left, $text) = @_;
    my ($reader, $writer);
    pipe $reader, $writer or return 125;
    my $child = fork;
    defined $child or return 125;
    if (!$child) {
        setpgrp 0, 0;
        $SIG{PIPE} = 'DEFAULT';
        open STDIN, '<', '/dev/null' or exit 125;
        open STDOUT, '>&', $writer or exit 125;
        exec '/bin/sh', '-c', $text, 'palisade' or exit 127;
    }
    setpgrp $child, $child;
    close $writer;
    my ($late, $killed) = (0, 0);
    local $SIG{ALRM} = sub {
        if ($late) { kill 'KILL', -$child; $killed = 1; }
        else { kill 'TERM', -$child; $late = 1; alarm 2; }
    };
    alarm $seconds;
    # what the question started and left behind may hold the pipe: it is not waited for once killed
    while ($left > 0 && !$killed) {
        my $length = sysread $reader, my $piece, $left < 65536 ? $left : 65536;
        next if !defined $length && $! == $interrupted;
        last if !$length;
        say_all($piece);
        $left -= $length;
    }
    close $reader;
    my $ended = 0;
    until ($ended == $child) {
        $ended = waitpid $child, 0;
        return 125 if $ended < 0 && $! != $interrupted;
    }
    my $status = $?;
    alarm 0;
    return 137 if $killed;
    return 124 if $late;
    return $status & 127 ? 128 + ($status & 127) : $status >> 8;
}

while (@questions) {
    my ($label, $seconds, $bytes, $text) = splice @questions, 0, 4;
    mark('begin', $label);
    mark('end', $label, ask($seconds, $bytes, $text));
}
