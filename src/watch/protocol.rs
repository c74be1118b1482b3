//! What is said on the daemon's socket: lines of JSON. A client writes one [`Request`] and reads one [`Answer`]; after
//! [`Request::Events`] it reads a [`Line`] for everything that happens, until it hangs up.
//!
//! ```text
//! {"verb":"suspend","seconds":600}
//! {"answer":"done","message":"suspended for 10m"}
//! ```

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::address::CONNECTED;

/// The version of everything here: new fields may come, none changes its meaning within a version.
pub const VERSION: &str = "1.0";

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "lowercase")]
pub enum Request {
    /// How the daemon is doing.
    Status,
    /// Look now, try again what failed, and take up what is contested; answered when that is done.
    Reconcile,
    /// Touch nothing for a while.
    Suspend {
        /// For how long.
        seconds: u64,
    },
    /// Go on at once.
    Resume,
    /// Tell everything that happens from now on.
    Events,
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum Answer {
    /// How it is doing.
    Status(Box<Status>),
    /// It is done.
    Done {
        /// What was done, for the user.
        message: String,
    },
    /// It cannot be done.
    Refused {
        /// Why not, for the user.
        message: String,
    },
}

/// How the daemon is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// [`VERSION`].
    pub format_version: String,
    /// The daemon's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// The project.
    pub project: String,
    /// In a word.
    pub state: Condition,
    /// Whether drift is set back, or only told.
    pub repairs: bool,
    /// The generation that is in force; 0 when none is.
    pub generation: u64,
    /// How many kernel objects there shall be.
    pub objects: usize,
    /// How many of them differ and are left alone.
    pub differing: usize,
    /// What somebody else keeps changing.
    pub contested: Vec<String>,
    /// Why the manifest, as it stands, is not in force.
    pub held: Option<String>,
    /// Why the last run failed.
    pub failed: Option<String>,
    /// Until when nothing is touched, in seconds since 1970.
    pub suspended_until: Option<u64>,
    /// What makes names work in the containers.
    pub names: Names,
    /// Where names are not answered, and why; a sentence each.
    #[serde(default)]
    pub unanswered: Vec<String>,
    /// When the daemon started, in seconds since 1970.
    pub started_at: u64,
    /// When a run last succeeded, in seconds since 1970; 0 when none has.
    pub last_success_at: u64,
    /// What was counted since the daemon started.
    pub counts: Counts,
}

/// The longest time for which the daemon may be asked to touch nothing, in seconds: a day. Who needs longer stops it.
pub const LONGEST_SUSPENSION: u64 = 24 * 60 * 60;

/// What was counted since the daemon started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Runs that succeeded.
    pub runs: u64,
    /// Runs that failed.
    pub failures: u64,
    /// How long all runs took together, in microseconds.
    pub run_micros: u64,
    /// How long the last one took.
    pub last_run_micros: u64,
    /// Manifests that were taken up.
    pub edits: u64,
    /// Resources that were changed.
    pub changed: u64,
    /// Fields and objects that had drifted.
    pub drifted: u64,
    /// Those that were set back.
    pub repaired: u64,
    /// Notices of the kernel.
    pub notices: u64,
    /// How often the kernel had more to tell than could be heard.
    pub overruns: u64,
    /// What was asked of the kernel: route netlink requests, a dump being one.
    #[serde(default)]
    pub requests: u64,
    /// nft transactions.
    #[serde(default)]
    pub transactions: u64,
    /// nft tables that were read.
    #[serde(default)]
    pub listings: u64,
    /// How often was worked out what names are answered with.
    #[serde(default)]
    pub zones: u64,
}

/// How the daemon is doing, in a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// The first run is not over yet.
    #[default]
    Starting,
    /// The kernel holds what it shall.
    InSync,
    /// Something differs and is left alone.
    Differs,
    /// The manifest, as it stands, is not in force; what was applied before it is.
    Held,
    /// The last run failed; it is tried again.
    Failing,
    /// Somebody asked for nothing to be touched.
    Suspended,
    /// An apply waits for its confirmation; nothing is touched until then.
    Undecided,
    /// It runs, and does not answer: it is stopped, or stuck. No more is known of it than its process.
    Silent,
}

impl Condition {
    /// Returns the words for a user.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::InSync => "in sync",
            Self::Differs => "differs",
            Self::Held => "the manifest is held back",
            Self::Failing => "failing",
            Self::Suspended => "suspended",
            Self::Undecided => "waiting for a confirmation",
            Self::Silent => "silent",
        }
    }
}

/// What makes names work in the containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Names {
    /// Hosts files, written when something is applied.
    #[default]
    HostsFiles,
    /// The daemon answers.
    Daemon,
}

/// Something that happened, with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// [`VERSION`].
    pub format_version: String,
    /// When, as RFC 3339 has it.
    pub time: String,
    /// What.
    #[serde(flatten)]
    pub happened: Happened,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happened {
    /// The daemon is at work: the first run is over.
    Started {
        /// The generation that is in force.
        generation: u64,
    },
    /// The manifest says something else.
    Edited,
    /// The kernel was changed.
    Applied {
        /// The generation that is in force.
        generation: u64,
        /// How many resources were changed.
        changed: usize,
        /// How long it took.
        took_ms: u64,
    },
    /// Something had drifted.
    Drift {
        /// The resource, e.g. `network.front`.
        resource: String,
        /// The kernel object.
        object: String,
        /// Its field; none when the object was gone.
        field: Option<String>,
        /// What was applied.
        applied: Option<String>,
        /// What was found.
        live: Option<String>,
        /// What became of it.
        fate: Fate,
    },
    /// Somebody else keeps changing this: it is left alone from now on.
    Contested {
        /// The kernel object, with its field.
        what: String,
    },
    /// The user should know something.
    Warning {
        /// What.
        message: String,
    },
    /// The manifest, as it stands, is not put in force.
    Held {
        /// Why.
        message: String,
    },
    /// A run failed.
    Failed {
        /// Why.
        message: String,
        /// When it is tried again.
        retry_ms: u64,
    },
    /// A run succeeded after others had failed, or the manifest is in force again.
    Recovered,
    /// An apply waits for its confirmation.
    Undecided {
        /// Its generation.
        generation: u64,
    },
    /// Nothing is touched for a while.
    Suspended {
        /// For how long.
        seconds: u64,
    },
    /// The daemon goes on.
    Resumed,
    /// The daemon ends; everything stays as it is.
    Stopped,
}

/// What became of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It was set back.
    Repaired,
    /// It was left alone.
    Left,
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { generation: 0 } => f.write_str("watching; nothing is applied yet"),
            Self::Started { generation } => write!(f, "watching; generation {generation} is in force"),
            Self::Edited => f.write_str("the manifest says something else"),
            Self::Applied { generation, changed, took_ms } => {
                let s = if *changed == 1 { "" } else { "s" };
                write!(
                    f,
                    "changed {changed} resource{s} in {took_ms} ms, verified; generation {generation} is in force"
                )
            }
            Self::Drift { resource, object, field, applied, live, fate } => {
                let fate = match fate {
                    Fate::Repaired => "set back",
                    Fate::Left => "left alone",
                };
                let moved = match field.as_deref() {
                    None => "is gone".to_owned(),
                    // Whole files are too much for a line.
                    Some("content") => "was edited".to_owned(),
                    Some(field) if field == CONNECTED.0 => {
                        format!("has lost a {field}: {}", live.as_deref().unwrap_or_default())
                    }
                    Some(field) => {
                        let text =
                            |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
                        format!("{field} {} -> {}", text(applied), text(live))
                    }
                };
                write!(f, "drift: {resource}: {object} {moved}; {fate}")
            }
            Self::Contested { what } => {
                write!(
                    f,
                    "contested: {what}: somebody else keeps changing it, so it is left alone until the manifest is \
                     edited or `netform reconcile` is run"
                )
            }
            Self::Warning { message } => write!(f, "warning: {message}"),
            Self::Held { message } => write!(f, "the manifest is not in force as it stands: {message}"),
            Self::Failed { message, retry_ms } => {
                write!(f, "failed, trying again in {:?}: {message}", Duration::from_millis(*retry_ms))
            }
            Self::Recovered => f.write_str("all is well again"),
            Self::Undecided { generation } => {
                write!(f, "generation {generation} waits for its confirmation; nothing is touched until then")
            }
            Self::Suspended { seconds } => {
                write!(f, "suspended for {}", humantime::format_duration(Duration::from_secs(*seconds)))
            }
            Self::Resumed => f.write_str("resumed"),
            Self::Stopped => f.write_str("stopped; everything stays as it is"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_is_lines_of_json() {
        let suspend = serde_json::to_string(&Request::Suspend { seconds: 600 }).unwrap();
        assert_eq!(suspend, r#"{"verb":"suspend","seconds":600}"#);
        assert_eq!(serde_json::from_str::<Request>(r#"{"verb":"events"}"#).unwrap(), Request::Events);
        let line = Line {
            format_version: VERSION.to_owned(),
            time: "2026-01-01T00:00:00Z".to_owned(),
            happened: Happened::Applied { generation: 3, changed: 1, took_ms: 20 },
        };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(
            text,
            r#"{"format_version":"1.0","time":"2026-01-01T00:00:00Z","event":"applied","generation":3,"changed":1,"took_ms":20}"#
        );
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }
}
