//! The host's `resolv.conf`, read anew when it was changed or replaced.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::resolv;

/// How long the file is not looked at again: asking the kernel costs more than a lookup.
const PAUSE: Duration = Duration::from_millis(100);

/// What tells that a file is another one, or was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    size: u64,
}

/// The resolvers of the host.
#[derive(Debug)]
pub(super) struct HostFile {
    path: PathBuf,
    looked: Option<Instant>,
    stamp: Option<Stamp>,
    servers: Vec<IpAddr>,
}

impl HostFile {
    /// Returns one that has not been looked at.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, looked: None, stamp: None, servers: vec![] }
    }

    /// Looks whether the file has changed, and reads it if so; tells whether other resolvers are named now.
    pub(super) fn refresh(&mut self, now: Instant) -> bool {
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < PAUSE) {
            return false;
        }
        self.looked = Some(now);
        // A link is followed: what it points to is what is read, and what may be replaced.
        let stamp = std::fs::metadata(&self.path).ok().map(|meta| Stamp {
            device: meta.dev(),
            inode: meta.ino(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            size: meta.size(),
        });
        if stamp == self.stamp {
            return false;
        }
        // A file that is being replaced may be gone for a moment: the resolvers that were named last still serve.
        let Ok(text) = std::fs::read(&self.path) else { return false };
        self.stamp = stamp;
        let servers = resolv::parse(&String::from_utf8_lossy(&text)).servers;
        let changed = servers != self.servers;
        self.servers = servers;
        changed
    }

    /// Returns the resolvers, in order.
    pub(super) fn servers(&self) -> &[IpAddr] {
        &self.servers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_is_read_anew_and_one_that_is_gone_still_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        std::fs::write(&path, "nameserver 10.0.0.1\n").unwrap();
        let mut file = HostFile::new(path.clone());
        let start = Instant::now();
        let later = |steps: u32| start + steps * PAUSE;

        assert!(file.refresh(later(0)));
        assert_eq!(file.servers(), ["10.0.0.1".parse::<IpAddr>().unwrap()]);

        std::fs::write(directory.path().join("new"), "nameserver 10.0.0.2\n").unwrap();
        std::fs::rename(directory.path().join("new"), &path).unwrap();
        assert!(file.refresh(later(1)));
        assert_eq!(file.servers(), ["10.0.0.2".parse::<IpAddr>().unwrap()]);

        std::fs::remove_file(&path).unwrap();
        assert!(!file.refresh(later(2)));
        assert_eq!(file.servers(), ["10.0.0.2".parse::<IpAddr>().unwrap()]);
    }
}
