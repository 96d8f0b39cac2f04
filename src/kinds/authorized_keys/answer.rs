//! What a host is asked about keys, and what it answers: every file that sshd might take keys from, whether or not it
//! does so today. Nothing is judged here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::line::{Entry, entries};
use crate::kinds::file;
use crate::kinds::sshd::config::{self, Config};
use crate::resource::parts::said;
use crate::resource::{FileState, Frame, Reading, Unread};
use crate::shell::Script;
use crate::text::{excerpt, visible};

/// Every file that sshd might take keys from, and what sshd says about where it takes them from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// How many accounts the host knows; each was looked at.
    pub accounts: usize,
    /// How [`super::DIRECTORY`] is: `755 root root`, `absent`, or what stands there instead.
    pub directory: String,
    /// The files in it.
    pub ours: Vec<KeyFile>,
    /// Every other file.
    pub others: Vec<KeyFile>,
    /// `sshd -T`'s word on where keys come from, by keyword.
    pub effective: BTreeMap<String, String>,
    /// The configuration behind it.
    pub config: Config,
}

/// A file that may hold keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyFile {
    /// Its path.
    pub path: String,
    /// Whose keys they would be.
    pub accounts: Vec<String>,
    /// What stands there.
    pub state: FileState,
    /// Where it is a symbolic link to a file: that file.
    pub target: Option<(String, FileState)>,
}

impl KeyFile {
    /// The entries that sshd would read, or why they cannot be read here.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, String> {
        let (path, state) = match &self.target {
            Some((path, state)) => (path, state),
            None => (&self.path, &self.state),
        };
        match state {
            FileState::Present(found) => Ok(entries(&found.content)),
            // sshd reads regular files only.
            FileState::Other { kind } if kind.contains("file over") || kind.starts_with("regular ") => {
                Err(format!("{} may hold keys and cannot be read: it is a {}", visible(path), visible(kind)))
            }
            FileState::Other { .. } | FileState::Absent => Ok(Vec::new()),
        }
    }

    /// Whose, safe to show.
    pub(super) fn accounts(&self) -> String {
        visible(&self.accounts.join(", "))
    }

    /// Where, safe to show.
    pub(super) fn place(&self) -> String {
        match &self.target {
            Some((target, _)) => format!("{} (a link to {})", visible(&self.path), visible(target)),
            None => visible(&self.path),
        }
    }
}

const BEFORE_ACCOUNTS: &str = r#"palisade_out=$(/usr/sbin/sshd -T)
palisade_status=$?
while read -r palisade_word palisade_rest; do
  case $palisade_word in
  port | permitrootlogin | authorizedkeysfile | authorizedkeyscommand | trustedusercakeys)
    printf 'effective\t%s\t%s\n' "$palisade_word" "$palisade_rest" ;;
  esac
done <<END
$palisade_out
END
printf 'sshd\t%s\n' "$palisade_status""#;

// Every pattern that stands anywhere, in force or not: %h, %u, %U and %% are sshd's (`sshd_config(5)`, TOKENS).
const ACCOUNTS: &str = r#"palisade_patterns=$(printf '%s\n' "$palisade_out" "$palisade_lines" |
  sed -nE -e 's/^(.*:[0-9]+:)?[[:space:]]*"?authorizedkeysfile"?[[:space:]]*=?[[:space:]]*//I' -e T -e 's/"//g' -e p)
palisade_nl='
'
palisade_seen=$palisade_nl
palisade_once() {
  case $palisade_seen in *"$palisade_nl$1$palisade_nl"*) return ;; esac
  palisade_seen=$palisade_seen$1$palisade_nl
  palisade_file "$1"
  [ -L "$1" ] && [ -f "$1" ] || return
  palisade_target=$(readlink -f -- "$1")
  printf 'link\t%s\t%s\n' "$1" "$palisade_target"
  [ -f "$palisade_target" ] && palisade_once "$palisade_target"
}
palisade_expand() {
  palisade_left=$1 palisade_path=
  while :; do
    case $palisade_left in
    *%*)
      palisade_path=$palisade_path${palisade_left%%\%*}
      palisade_left=${palisade_left#*\%}
      case $palisade_left in
      h*) palisade_path=$palisade_path$palisade_home ;;
      u*) palisade_path=$palisade_path$palisade_name ;;
      U*) palisade_path=$palisade_path$palisade_uid ;;
      *) palisade_path=$palisade_path% ;;
      esac
      palisade_left=${palisade_left#?} ;;
    *) palisade_path=$palisade_path$palisade_left; break ;;
    esac
  done
  case $palisade_path in /*) ;; *) palisade_path=${palisade_home%/}/$palisade_path ;; esac
}
palisade_accounts=$(getent passwd)
palisade_count=0
set -f
printf 'pattern\t%s\n' $palisade_patterns
while IFS=: read -r palisade_name palisade_word palisade_uid palisade_word palisade_word palisade_home palisade_word; do
  [ -n "$palisade_name" ] || continue
  palisade_count=$((palisade_count + 1))
  [ "$palisade_name" = root ] && printf 'root\t%s\n' "$palisade_uid"
  for palisade_word in .ssh/authorized_keys .ssh/authorized_keys2 $palisade_patterns; do
    palisade_expand "$palisade_word"
    case $palisade_path in /etc/ssh/authorized_keys.d/*) continue ;; esac
    [ -e "$palisade_path" ] || [ -L "$palisade_path" ] || continue
    printf 'of\t%s\t%s\n' "$palisade_name" "$palisade_path"
    palisade_once "$palisade_path"
  done
done <<END
$palisade_accounts
END
set +f
palisade_word=/etc/ssh/authorized_keys.d
if [ -d "$palisade_word" ] && [ ! -L "$palisade_word" ]; then stat -c 'directory	%a %U %G' "$palisade_word"
elif [ -e "$palisade_word" ] || [ -L "$palisade_word" ]; then stat -c 'directory	%F' "$palisade_word"
else printf 'directory\tabsent\n'; fi
# What a change that is not confirmed yet keeps beside its files, to go back by. sshd reads none of it.
palisade_armed=$(cat /var/lib/palisade/pending 2>/dev/null)
for palisade_path in "$palisade_word"/* "$palisade_word"/.[!.]*; do
  [ -e "$palisade_path" ] || [ -L "$palisade_path" ] || continue
  if [ -n "$palisade_armed" ]; then
    case $palisade_path in "$palisade_word/.palisade-$palisade_armed-"*) continue ;; esac
  fi
  printf 'ours\t%s\n' "$palisade_path"
  palisade_once "$palisade_path"
done
printf 'accounts\t%s\n' "$palisade_count""#;

/// One process for sshd's own word, one for its configuration, one for the accounts; then three for each file that is
/// there.
pub(super) fn question() -> Script {
    Script::new()
        .text(BEFORE_ACCOUNTS)
        .then(&config::question())
        .then(&file::states(std::iter::empty()))
        .text(ACCOUNTS)
}

pub(super) fn read(frame: &Frame) -> Reading<Answer> {
    let text = String::from_utf8_lossy(&frame.stdout);
    let unread = |what: &str| Unread(format!("{what}{}", said(&frame.stderr)));
    let lines = |mark: &'static str| {
        text.lines().filter_map(move |line| {
            line.split_once('\t').filter(|(first, _)| *first == mark).map(|(_, rest)| rest)
        })
    };
    let effective: BTreeMap<String, String> = lines("effective")
        .filter_map(|line| line.split_once('\t'))
        .map(|(keyword, value)| (keyword.to_owned(), value.to_owned()))
        .collect();
    let status = lines("sshd").next();
    let whole =
        ["port", "permitrootlogin", "authorizedkeysfile"].iter().all(|one| effective.contains_key(*one));
    if status != Some("0") || !whole {
        let status =
            status.map_or_else(|| "did not run".to_owned(), |code| format!("exited {}", visible(code)));
        return Err(unread(&format!("sshd does not say where it takes keys from: sshd -T {status}")));
    }
    let config = Config::read(&text).ok_or_else(|| unread("sshd's configuration could not be read"))?;
    let named =
        effective.get("authorizedkeysfile").into_iter().flat_map(|value| value.split(' ').map(str::to_owned));
    let written = config.directives.iter().filter(|one| one.keyword == "authorizedkeysfile");
    for pattern in named.chain(written.flat_map(|one| one.arguments.iter().cloned())) {
        if !lines("pattern").any(|one| one == pattern) {
            return Err(unread(&format!("keys in `{}` could not be looked for", excerpt(&pattern, 120))));
        }
    }
    // Every passwd has root; a list without it is no list.
    let accounts = lines("accounts").next().and_then(|count| count.parse().ok()).unwrap_or(0);
    if accounts == 0 || lines("root").next().is_none() {
        return Err(unread("the accounts could not be listed"));
    }
    let directory =
        lines("directory").next().ok_or_else(|| unread("the directory of keys could not be read"))?;
    let found = file::read_states(frame);
    let state = |path: &str| {
        found
            .get(path)
            .cloned()
            .unwrap_or_else(|| Err(unread(&format!("{} could not be read", visible(path)))))
    };
    let targets: BTreeMap<&str, &str> = lines("link").filter_map(|line| line.split_once('\t')).collect();
    let key_file = |path: &str, accounts: Vec<String>| {
        let target = match targets.get(path) {
            Some(target) => Some(((*target).to_owned(), state(target)?)),
            None => None,
        };
        Ok(KeyFile { path: path.to_owned(), accounts, state: state(path)?, target })
    };
    let mut of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (account, path) in lines("of").filter_map(|line| line.split_once('\t')) {
        of.entry(path).or_default().insert(account);
    }
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(Answer {
        accounts,
        directory: directory.to_owned(),
        ours: lines("ours").map(|path| key_file(path, vec![name(path)])).collect::<Reading<_>>()?,
        others: of
            .into_iter()
            .map(|(path, accounts)| key_file(path, accounts.into_iter().map(str::to_owned).collect()))
            .collect::<Reading<_>>()?,
        effective,
        config,
    })
}
