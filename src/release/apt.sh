# An apt of its own below a folder: the host's sources, keys, pins and holds, with lists and caches that nobody else reads.
# The host's own apt, its indexes and its hooks stay as they are. What it fetches it fetches as the account that apt has for that
# (_apt), which may write to nothing else.
palisade_private_apt() { # folder
  palisade_dir=$1
  chmod 0755 "$palisade_dir" && mkdir -p "$palisade_dir/lists/partial" "$palisade_dir/archives/partial" || return
  # What was fetched already is asked for differences only.
  cp -a /var/lib/apt/lists/*_* "$palisade_dir/lists/" 2>/dev/null
  chmod 0755 "$palisade_dir/lists" "$palisade_dir/archives" && chown _apt "$palisade_dir/lists/partial" "$palisade_dir/archives/partial" || return
  cat >"$palisade_dir/apt.conf" <<END
Dir::State::Lists "$palisade_dir/lists/";
Dir::Cache "$palisade_dir/";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Log "$palisade_dir/";
Debug::NoLocking "true";
APT::Sandbox::User "_apt";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
}
palisade_apt() {
  palisade_program=$1
  shift
  "$palisade_program" -q -c "$palisade_dir/apt.conf" "$@" </dev/null
}
