text(tool('systemctl', 'show', '--no-pager', '-p', 'Id,Names,LoadState,UnitFileState,ActiveState,SubState', '--', given('units')));
exit_with($status);
