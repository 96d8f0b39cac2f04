# Processes that run a program or a library whose file was replaced: id, service or `-`, and what each calls itself, in a
# line whatever that is. One that ended meanwhile runs nothing.
sub stale {
    my @found;
    for my $id (sort { $a <=> $b } grep { /^\d+\z/ } names('/proc')) {
        open my $maps, '<', "/proc/$id/maps" or next;
        my $is_stale;
        while (<$maps>) { if (m{^\S+ r.x. .* /(?:usr|lib|opt)/.* \(deleted\)$}) { $is_stale = 1; last } }
        next if !$is_stale;
        my $calls = short_file("/proc/$id/comm") or next;
        $calls =~ tr/\n/ /;
        $calls =~ s/ \z//;
        my $service = '-';
        for (split /\n/, short_file("/proc/$id/cgroup")) {
            next if !/^0::/ || m{\.scope/};
            s{\.service/.*}{.service};
            s{.*/}{};
            $service = $_ if /\.service\z/;
        }
        push @found, "$id $service $calls";
    }
    return @found;
}

# What a file of /proc says; nothing where its process is gone.
sub short_file {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    return scalar(<$file>) // '';
}
