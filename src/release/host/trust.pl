# Which keyrings this host's own sources name for a suite, a line each: what a source names by Signed-By, and those of
# /etc/apt/trusted.gpg.d where a source of it names none, as apt takes them. A key within a source is written to the folder. A source
# that is trusted unsigned vouches for nobody. Nothing is said where no source has the suite.
use strict;
use warnings;
my ($suite, $folder) = @ARGV;
my (%found, $keys);
sub trust {
  my ($by, $unsigned) = @_;
  $by =~ s/^\s+|\s+$//g if defined $by;
  if (!defined $by || $by eq '') {
    return if ($unsigned // '') =~ /^\s*(?:yes|true|1|on|with|enable)\s*$/i;
    $found{$_} = 1 for grep { -s $_ } '/etc/apt/trusted.gpg', glob('/etc/apt/trusted.gpg.d/*.gpg'), glob('/etc/apt/trusted.gpg.d/*.asc');
  }
  elsif ($by =~ /BEGIN PGP/) {
    my $path = sprintf '%s/key-%d.asc', $folder, ++$keys;
    $by =~ s/^ //mg;
    $by =~ s/^\.$//mg;
    open my $file, '>', $path or die "$path: $!\n";
    print {$file} "$by\n" or die "$path: $!\n";
    close $file or die "$path: $!\n";
    $found{$path} = 1;
  }
  else { $found{$_} = 1 for split /[\s,]+/, $by }
}
for my $path ('/etc/apt/sources.list', glob '/etc/apt/sources.list.d/*.list') {
  open my $file, '<', $path or next;
  while (<$file>) {
    next unless /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)/;
    my ($options, $named) = ($1, $3);
    next if $named ne $suite;
    my %option;
    for (split ' ', $options // '') { $option{lc $1} = $2 if /^([a-z-]+)=(.*)$/i }
    trust($option{'signed-by'}, $option{trusted});
  }
}
for my $path (glob '/etc/apt/sources.list.d/*.sources') {
  open my $file, '<', $path or next;
  local $/;
  my $text = <$file>;
  $text =~ s/^#.*\n//mg;
  for my $stanza (split /\n\s*\n/, $text) {
    my %field;
    $field{lc $1} = $2 while $stanza =~ /^([A-Za-z-]+):[ \t]*((?:.*)(?:\n[ \t].*)*)/mg;
    next if ($field{enabled} // 'yes') =~ /^\s*(?:no|false|0|off|without|disable)\s*$/i;
    next unless grep { $_ eq 'deb' } split ' ', $field{types} // '';
    next unless grep { $_ eq $suite } split ' ', $field{suites} // '';
    trust($field{'signed-by'}, $field{trusted});
  }
}
print "$_\n" for sort keys %found;
