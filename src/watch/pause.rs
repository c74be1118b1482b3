//! A suspension outlives the daemon: who has asked for a free hand keeps it when the daemon is restarted.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use super::protocol::LONGEST_SUSPENSION;
use crate::apply::Dirs;

/// Notes until when nothing is touched, in seconds since 1970; `None` is that everything may be.
pub(super) fn note(dirs: &Dirs, until: Option<u64>) -> io::Result<()> {
    match until {
        Some(until) => {
            // Whatever the mask of the daemon says: whoever may write it has it repair nothing.
            let mut options = fs::OpenOptions::new();
            let open =
                options.write(true).create(true).truncate(true).mode(0o600).open(dirs.watch_suspended());
            open?.write_all(format!("{until}\n").as_bytes())
        }
        None => match fs::remove_file(dirs.watch_suspended()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        },
    }
}

/// Returns for how many seconds more nothing is touched; `None` when that is over, or was never asked for.
pub(super) fn left(dirs: &Dirs, now: u64) -> Option<u64> {
    let until: u64 = fs::read_to_string(dirs.watch_suspended()).ok()?.trim().parse().ok()?;
    // A clock that was set back makes nobody wait longer than can be asked for.
    until.checked_sub(now).filter(|left| (1..=LONGEST_SUSPENSION).contains(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_suspension_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs { state: dir.path().to_owned(), run: dir.path().to_owned() };
        assert_eq!(left(&dirs, 1000), None);
        note(&dirs, None).unwrap();

        note(&dirs, Some(1600)).unwrap();
        assert_eq!(left(&dirs, 1000), Some(600));
        assert_eq!(left(&dirs, 1600), None);
        assert_eq!(left(&dirs, 0), Some(1600));

        note(&dirs, Some(1000 + LONGEST_SUSPENSION)).unwrap();
        assert_eq!(left(&dirs, 500), None, "the clock was set back");
        note(&dirs, None).unwrap();
        assert_eq!(left(&dirs, 1000), None);
    }
}
