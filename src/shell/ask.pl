# Asks the questions of one script, one after the other, and answers each in a frame of its own: the reader is
# `frame` in mod.rs. Arguments: label, seconds, bytes, language, text, how many words, and the words of each question.
# The nonce comes in the environment, which root alone can read: whoever knew it while files of theirs are read could
# forge an answer. Without a nonce there is one question, its text and its words, whose answer stands alone.
#
# A question is a process group of its own: a shell, or a fork of this program that calls the functions of reader.pl,
# and starts no program but the tools that it asks. When its time is up the group is told to end, and killed two
# seconds later (status 124, or 137, as of coreutils' timeout). Once it has said as much as it may, nobody reads on.
# It needs perl-base alone, which is essential on Debian: a look at a host starts a third of the programs that it
# would start from shell.
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
        next if !defined $written && $! == $interrupted;
        defined $written or exit 141;
        substr $said, 0, $written, '';
    }
}

# What a question in perl says, and its status.
sub look {
    my ($bytes, $text, @words) = @_;
    begin_reader($bytes, @words);
    # the text is one that palisade wrote; what varies comes as words
    my $whole = eval "package reader; $text\n; 1";
    warn $@ if !$whole;
    say_all(reader_said());
    return $whole ? $reader::ends_with : 1;
}

sub ask {
    my ($seconds, $left, $language, $text, @words) = @_;
    my $bytes = $left;
    my ($reader, $writer);
    pipe $reader, $writer or return 125;
    my $child = fork;
    defined $child or return 125;
    if (!$child) {
        setpgrp 0, 0;
        $SIG{PIPE} = 'DEFAULT';
        open STDIN, '<', '/dev/null' or exit 125;
        open STDOUT, '>&', $writer or exit 125;
        if ($language eq 'perl') { close $writer; close $reader; exit look($bytes, $text, @words); }
        exec '/bin/sh', '-c', $text, 'palisade', @words or exit 127;
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

if (!defined $nonce) {
    my ($bytes, $text, @words) = @questions;
    exit look($bytes, $text, @words);
}
while (@questions) {
    my ($label, $seconds, $bytes, $language, $text, $count) = splice @questions, 0, 6;
    mark('begin', $label);
    mark('end', $label, ask($seconds, $bytes, $language, $text, splice @questions, 0, $count));
}
