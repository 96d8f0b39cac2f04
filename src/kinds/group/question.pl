my ($groups, $accounts) = (0, 0);
for (split /\n/, tool('getent', 'group')) {
    my ($name, undef, $gid, $members) = split /:/, $_, -1;
    text(join ':', 'group', $name, $gid, $members // '');
    $groups++;
}
text("groups:$groups");
for (split /\n/, tool('getent', 'passwd')) {
    my ($name, undef, undef, $gid) = split /:/, $_, -1;
    text("primary:$gid:$name");
    $accounts++;
}
text("accounts:$accounts");
