container();
if (defined program('modprobe')) {
    my $rules = tool('modprobe', '--showconfig');
    part('rules', $status, lines_of($rules, sub { /^install |^# End of configuration files/ }));
}
else { part('missing', 0, 'modprobe') }
for my $module (given('modules')) {
    my $state = !is_folder('/sys/module/kernel') ? 'unknown'
        : is_there("/sys/module/$module/initstate") ? 'loaded'
        : is_there("/sys/module/$module") ? 'built-in'
        : 'absent';
    text("module $module $state");
}
file_state($_) for given('files');
