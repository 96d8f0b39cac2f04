container();
my %active;
my $units = tool('systemctl', 'show', '--no-pager', '-p', 'Id,ActiveState', '--', map { "$_.service" } 'systemd-timesyncd', 'chrony', 'ntpsec', 'openntpd');
text($units);
for (split /\n\n/, $units) { $active{$1} = 1 if /^Id=(.*)\.service$/m && /^ActiveState=active$/m }
text(tool('timedatectl', 'show', '-p', 'NTPSynchronized'));
if ($active{'systemd-timesyncd'}) {
    # A daemon that has just begun may be on no bus yet; who asks it over that waits as long as the bus does.
    my @which = map { ('-p', $_) } 'SystemNTPServers', 'RuntimeNTPServers', 'LinkNTPServers', 'FallbackNTPServers';
    text(tool('timeout', '8', 'timedatectl', 'show-timesync', @which));
    text('asked timesyncd') if $status == 0;
}
if ($active{chrony}) {
    text(tool('chronyc', '-c', '-N', 'sources'));
    text('asked chrony') if $status == 0;
}
text('clock ' . time);
