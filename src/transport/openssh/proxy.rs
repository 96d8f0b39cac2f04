//! The command by which ssh reaches what stands behind a jump host, as its configuration names it.

use std::io;
use std::path::{Path, PathBuf};

use crate::shell::Arg;

/// A path as `ssh_config(5)` reads it back: in double quotes, `%` doubled. It knows no way to write a quote or a line's
/// end.
pub(super) fn quoted(path: &Path) -> io::Result<String> {
    let text = path.to_str().filter(|text| !text.contains(['"', '\n', '\\', '$', '~'])).ok_or_else(|| {
        let why = format!("ssh cannot be given the path {}", crate::text::visible(&path.to_string_lossy()));
        io::Error::new(io::ErrorKind::InvalidInput, why)
    })?;
    Ok(format!("\"{}\"", text.replace('%', "%%")))
}

/// The command by which ssh reaches a host over the master behind `socket`: a channel on a connection that is there.
pub(super) fn command(host: &str, file: &Path, socket: &Path, log: &Path) -> io::Result<String> {
    let word = |path: &Path| {
        let text = path.to_str().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let arg = Arg::new(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok::<_, io::Error>(arg.quoted().replace('%', "%%"))
    };
    Ok(format!(
        "ssh -F {} -S {} -o ControlMaster=no -o BatchMode=yes -W [%h]:%p -- {host} 2>{}",
        word(file)?,
        word(socket)?,
        word(log)?
    ))
}

/// Where the command in the configuration `file` that leads through a jump host writes what it complains about.
pub(super) fn way_log(file: &Path) -> PathBuf {
    file.with_extension("way")
}
