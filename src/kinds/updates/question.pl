# What apt would install by the files that it has, which security sources are declared, and what still runs as it was.
container();
part_of('targets', 'apt-get', 'indextargets', '--format', '$(CREATED_BY)|$(LABEL)|$(RELEASE)|$(FILENAME)|end');
my ($failed, $declared) = (0, '');
for my $path (grep { is_file($_) } '/etc/apt/sources.list', paths('/etc/apt/sources.list.d', qr/^[^.].*\.list\z/s), paths('/etc/apt/sources.list.d', qr/^[^.].*\.sources\z/s)) {
    my $text = contents($path);
    if (!defined $text) { warn field($path) . ": $!\n"; $failed = 1; last }
    $declared .= lines_of($text, sub { /^\s*deb\s.*-security|^\s*[Ss]uites:.*-security/ });
}
part('declared', $failed, $failed ? '' : $declared . 'looked');
($failed, my $indexes) = (0, '');
for my $path (paths('/var/lib/apt/lists', qr/^[^.].*_InRelease\z/s), paths('/var/lib/apt/lists', qr/^[^.].*_Release\z/s)) {
    next if !is_file($path);
    my $text = contents($path);
    if (!defined $text) { warn field($path) . ": $!\n"; $failed = 1; last }
    $indexes .= 'file ' . field($path) . "\n";
    my @first = split /\n/, $text, 41;
    $indexes .= join '', map { "$_\n" } grep { /^Date: / } @first[0 .. ($#first < 39 ? $#first : 39)];
}
part('indexes', $failed, $failed ? '' : $indexes);
my $simulated = tool(
    'apt-get', '-s', '-q', (map { ('-o', $_) } 'Debug::NoLocking=1', 'Dir::Cache::pkgcache=', 'Dir::Cache::srcpkgcache=',
    'Dir::Etc::Preferences=/dev/null', 'Dir::Etc::PreferencesParts=/dev/null'), '--ignore-hold', 'dist-upgrade');
part('simulated', $status, lines_of($simulated, sub { /^Inst | upgraded, .* newly installed, / }));
my $states = tool('dpkg-query', '-W', '-f', '${db:Status-Want} ${db:Status-Status} ${db:Status-Eflag} ${Package} ${Version}\n');
my $usual = qr/^install installed ok |^[a-z]* config-files ok |^[a-z]* not-installed ok /;
part('states', $status, lines_of($states, sub { /^install installed ok dpkg / || $_ !~ $usual }));
my $kernels = 'running ' . (first_line('/proc/sys/kernel/osrelease') // '') . "\n";
my @images = map { m{/vmlinuz-(.*)}s ? $1 : () } paths('/boot', qr/^vmlinuz-/);
if (@images) {
    my $sorted = @images > 1 ? tool(\join('', map { "$_\n" } @images), 'sort', '-V') : $images[0];
    $kernels .= 'kernel ' . ((split /\n/, $sorted)[-1] // '') . "\n";
}
$kernels .= "asked\n" if is_there('/run/reboot-required');
$kernels .= join '', map { "stale $_\n" } stale();
part('kernels', 0, $kernels);
