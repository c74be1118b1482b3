//! Runs `nft`, and says in the user's terms why it refused.

use std::io;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::kernel::{FailureKind, OpError};

/// The largest transaction of the benchmarks takes a tenth of this.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where `nft` may be: an ordinary user, who is root in a sandbox, often lacks `/usr/sbin` in `PATH`.
const PLACES: [&str; 3] = ["nft", "/usr/sbin/nft", "/sbin/nft"];

/// Why `nft` did not do what it was asked to.
#[derive(Debug)]
pub(super) enum Refusal {
    /// There is no such program.
    NotInstalled,
    /// It could not be run, or not be talked to.
    Broken(io::Error),
    /// It did not come to an end.
    Late,
    /// It said no, in these words.
    Said(String),
}

impl Refusal {
    /// Tells whether something that was named is not there.
    pub(super) fn is_gone(&self) -> bool {
        self.says("No such file or directory")
    }

    /// Tells whether the transaction does not fit into the socket's buffer.
    pub(super) fn is_too_large(&self) -> bool {
        self.says("Message too long")
    }

    /// Returns the error of a transaction that makes a table. A kernel that lacks a kind of chain or expression answers
    /// as if a file were missing (`nf_tables_expr_parse()` and `nft_chain_parse_hook()` in Linux
    /// `net/netfilter/nf_tables_api.c`).
    pub(super) fn for_new_table(self) -> OpError {
        let lacking = self.is_gone();
        let OpError { kind, message } = self.into();
        if lacking {
            let message = format!("the kernel lacks a part of nftables that the firewall needs: {message}");
            OpError { kind: FailureKind::Missing, message }
        } else {
            OpError { kind, message }
        }
    }

    fn says(&self, words: &str) -> bool {
        match self {
            Self::Said(text) => text.contains(words),
            Self::NotInstalled | Self::Broken(_) | Self::Late => false,
        }
    }
}

impl From<Refusal> for OpError {
    fn from(refusal: Refusal) -> Self {
        let kind = if matches!(refusal, Refusal::NotInstalled) || refusal.says("not supported") {
            FailureKind::Missing
        } else if refusal.says("Operation not permitted") || refusal.says("Permission denied") {
            FailureKind::Privilege
        } else {
            FailureKind::Other
        };
        let message = match refusal {
            Refusal::NotInstalled => {
                "the program `nft` is not installed; install the package `nftables`".to_owned()
            }
            Refusal::Broken(error) => format!("cannot run `nft`: {error}"),
            Refusal::Late => format!("`nft` did not answer within {} seconds", PATIENCE.as_secs()),
            Refusal::Said(text) => format!("nft: {text}"),
        };
        Self { kind, message }
    }
}

/// Runs `nft` in our own network namespace, and returns what it prints.
pub(super) async fn nft(args: &[&str], input: &str) -> Result<String, Refusal> {
    tokio::time::timeout(PATIENCE, converse(start(args)?, input)).await.unwrap_or(Err(Refusal::Late))
}

/// Runs `nft` in the network namespace of the calling thread, which waits, and returns what it prints.
pub(super) fn here(args: &[&str]) -> Result<String, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Refusal::Broken)?.block_on(nft(args, ""))
}

/// Tells whether there is no such program at a place. A directory of `PATH` that may not be searched says the same of every
/// program: execvp(3).
fn is_elsewhere(error: &io::Error, place: &str) -> bool {
    let kind = error.kind();
    kind == io::ErrorKind::NotFound || (kind == io::ErrorKind::PermissionDenied && place == "nft")
}

/// Tells whether there is such a program at all; whether it runs is seen when it does.
pub(super) fn is_installed() -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&paths).map(|dir| dir.join("nft"));
    found.any(|path| path.is_file()) || PLACES.into_iter().skip(1).any(|place| Path::new(place).is_file())
}

fn start(args: &[&str]) -> Result<Child, Refusal> {
    for place in PLACES {
        // The words of the kernel's errors are recognised, so they have to be the untranslated ones.
        let child = Command::new(place)
            .args(args)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        match child {
            Ok(child) => return Ok(child),
            Err(error) if is_elsewhere(&error, place) => {}
            Err(error) => return Err(Refusal::Broken(error)),
        }
    }
    Err(Refusal::NotInstalled)
}

async fn converse(mut child: Child, input: &str) -> Result<String, Refusal> {
    let stdin = child.stdin.take();
    let tell = async move {
        if let Some(mut stdin) = stdin {
            // A program that stops reading says why on its standard error, which tells more than a broken pipe.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), output) = tokio::join!(tell, child.wait_with_output());
    said(output.map_err(Refusal::Broken)?)
}

fn said(output: Output) -> Result<String, Refusal> {
    if output.status.success() {
        String::from_utf8(output.stdout)
            .map_err(|error| Refusal::Broken(io::Error::new(io::ErrorKind::InvalidData, error)))
    } else {
        Err(Refusal::Said(words(&String::from_utf8_lossy(&output.stderr), output.status.to_string())))
    }
}

/// Returns nft's complaint on one line, without the place in our input, which JSON input does not have.
fn words(stderr: &str, status: String) -> String {
    let lines = stderr.lines().map(|line| line.trim().trim_start_matches("internal:0:0-0: "));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { status } else { lines.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stderr: &str, want: FailureKind) {
        let refusal = Refusal::Said(words(stderr, String::new()));
        assert_eq!(OpError::from(refusal).kind, want, "{stderr}");
    }

    #[test]
    fn a_refusal_says_whether_privileges_or_a_feature_are_missing() {
        check("Operation not permitted (you must be root)", FailureKind::Privilege);
        check(
            "internal:0:0-0: Error: Could not process rule: Operation not supported\n\n",
            FailureKind::Missing,
        );
        check("internal:0:0-0: Error: Could not process rule: File exists\n\n", FailureKind::Other);
        assert_eq!(OpError::from(Refusal::NotInstalled).kind, FailureKind::Missing);
    }

    #[test]
    fn an_unknown_chain_type_is_a_missing_feature_when_the_table_is_new() {
        let refusal = Refusal::Said("Error: Could not process rule: No such file or directory".to_owned());

        assert_eq!(refusal.for_new_table().kind, FailureKind::Missing);
    }

    #[test]
    fn a_refusal_is_one_line_of_nfts_own_words() {
        assert_eq!(words("internal:0:0-0: Error: File exists\n\n", String::new()), "Error: File exists");
        assert_eq!(words("", "exit status: 1".to_owned()), "exit status: 1");
    }
}
