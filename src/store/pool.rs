//! The packages of a release, as dev had them, and the indexes that sign them, within the project: `releases/ID/pool/SHA256`. A file counts only where
//! its bytes are what its name says; it is written whole or not at all.
#![expect(clippy::disallowed_methods, reason = "this is where packages meet the disk")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::domain::{Digest, ReleaseId};

/// The captured packages of one release.
#[derive(Debug, Clone)]
pub struct Pool {
    folder: PathBuf,
}

impl Pool {
    /// Of `release`, in the project at `root`. Nothing is made.
    pub fn of(root: &Path, release: &ReleaseId) -> Self {
        Self { folder: root.join(crate::release::DIRECTORY).join(release.as_str()).join("pool") }
    }

    /// Where its files lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.as_str())
    }

    /// Whether the package is here, and is what it is called.
    pub fn has(&self, digest: &Digest) -> bool {
        self.read(digest).is_ok()
    }

    /// Its bytes.
    pub fn read(&self, digest: &Digest) -> io::Result<Vec<u8>> {
        let bytes = fs::read(self.path(digest))?;
        if Digest::of(&bytes) == *digest {
            return Ok(bytes);
        }
        let path = self.path(digest);
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is not what it is called", path.display()),
        ))
    }

    /// Keeps a package.
    pub fn put(&self, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        if Digest::of(bytes) != *digest {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its bytes are not what it is called"));
        }
        fs::create_dir_all(&self.folder)?;
        super::replace(&self.path(digest), bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_is_not_what_it_is_called_is_not_there() {
        let root = tempfile::tempdir().unwrap();
        let pool = Pool::of(root.path(), &"2026-11-28".parse().unwrap());
        let digest = Digest::of(b"a package");
        assert!(pool.put(&digest, b"another").is_err() && !pool.has(&digest));
        pool.put(&digest, b"a package").unwrap();
        assert_eq!(pool.read(&digest).unwrap(), b"a package");
        fs::write(pool.folder().join(digest.as_str()), b"a packagf").unwrap();
        assert!(!pool.has(&digest));
    }
}
