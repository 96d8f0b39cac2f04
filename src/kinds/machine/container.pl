# Says `container WORD`, `none` where there is no container, and nothing where systemd does not run. It reads what systemd
# wrote down of it when it began (its container interface): several kinds ask.
sub container {
    return if !is_folder('/run/systemd/system');
    my $word = is_there('/run/systemd/container') ? first_line('/run/systemd/container') // '' : 'none';
    text("container $word");
}
