//! Whose namespace is it: the containers of Docker and Podman, and processes, that a manifest names.
//!
//! Both serve the same API on a socket of their own. What they say is made into [`Running`]: plain values, so that planning
//! stays a function of what it is given. A container that stops is absent, not an error, and so is one whose runtime cannot
//! be asked: it waits. One that was seen before and still lives goes on as it was, since a runtime that is away stops changes,
//! never traffic.

mod api;
mod engine;
mod follow;
pub mod list;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::kernel::LARGEST_PART as LARGEST;
use crate::kernel::process;
use crate::manifest::Home;
use crate::names::{ContainerName, EngineName};
use crate::topology::facts::Running;
use engine::{Engine, Found};
pub use follow::{Follower, ended};

/// How many containers a sentence names.
const SHOWN: usize = 5;

/// Who runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

impl Kind {
    /// Returns the flag that says where its socket is.
    fn flag(self) -> &'static str {
        match self {
            Self::Docker => "--docker (or DOCKER_HOST)",
            Self::Podman => "--podman (or CONTAINER_HOST)",
        }
    }

    /// Returns what starts it.
    fn service(self) -> &'static str {
        match self {
            Self::Docker => "systemctl start docker",
            Self::Podman => "systemctl start podman.socket",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
        })
    }
}

/// Where the runtimes are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    /// Docker's.
    pub docker: PathBuf,
    /// Podman's.
    pub podman: PathBuf,
}

impl Sockets {
    /// Returns the socket of a runtime.
    pub fn of(&self, kind: Kind) -> &Path {
        match kind {
            Kind::Docker => &self.docker,
            Kind::Podman => &self.podman,
        }
    }
}

/// A container of the manifest that somebody else runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What the manifest calls it.
    pub name: ContainerName,
    /// Whose it is.
    pub home: Home,
}

impl Wanted {
    /// Returns who runs it, and under which name; `None` when it is a mere process or namespace.
    pub fn engine(&self) -> Option<(Kind, &EngineName)> {
        match &self.home {
            Home::Docker(name) => Some((Kind::Docker, name)),
            Home::Podman(name) => Some((Kind::Podman, name)),
            Home::Netns(_) | Home::Process(_) => None,
        }
    }
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Those that run.
    pub runs: BTreeMap<ContainerName, Running>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Looks which of the wanted run; `before` is what is remembered of them.
pub async fn look(sockets: &Sockets, wanted: &[Wanted], before: &BTreeMap<ContainerName, Running>) -> Look {
    let mut look = Look::default();
    if wanted.is_empty() {
        return look;
    }
    let known: BTreeMap<_, _> = before.iter().filter(|(_, run)| process::lives(run.process)).collect();
    for kind in [Kind::Docker, Kind::Podman] {
        let asked: Vec<_> =
            wanted.iter().filter(|it| it.engine().is_some_and(|(of, _)| of == kind)).collect();
        if asked.is_empty() {
            continue;
        }
        let names: BTreeSet<EngineName> =
            asked.iter().filter_map(|it| Some(it.engine()?.1.clone())).collect();
        match Engine::new(kind, sockets.of(kind)).containers(names).await {
            Ok(found) => {
                for it in asked {
                    let found = it.engine().and_then(|(_, name)| found.get(name));
                    look.take(it, found, known.get(&it.name).copied());
                }
            }
            Err(error) => {
                let kept = asked.iter().filter_map(|it| {
                    let run = known.get(&it.name).filter(|run| run.home == it.home.to_string())?;
                    Some((it.name.clone(), (*run).clone()))
                });
                let kept: BTreeMap<_, _> = kept.collect();
                look.warnings.push(unreachable(kind, sockets.of(kind), &error, (&asked, &kept)));
                look.runs.extend(kept);
            }
        }
    }
    for it in wanted {
        if let Home::Process(pid) = it.home {
            look.take_process(it, pid, before.get(&it.name));
        }
    }
    look.part_shared(wanted);
    look
}

impl Look {
    /// Takes in what a runtime says of a container.
    fn take(&mut self, wanted: &Wanted, found: Option<&Found>, known: Option<&Running>) {
        let home = wanted.home.to_string();
        let run = match found {
            Some(Found::Runs(seen)) => {
                let Some(process) = process::of(seen.pid) else { return };
                let (hosts, resolv_conf) = (usable(&seen.hosts), usable(&seen.resolv_conf));
                Running { home, process, has_networks: seen.has_networks, hosts, resolv_conf }
            }
            Some(Found::Untold(why)) => {
                self.warnings.push(format!("{}: {why}", wanted.home));
                match known.filter(|run| run.home == home) {
                    Some(run) => run.clone(),
                    None => return,
                }
            }
            Some(Found::Absent) | None => return,
        };
        self.runs.insert(wanted.name.clone(), run);
    }

    /// Takes in a process. The number may have been given to another one since.
    fn take_process(&mut self, wanted: &Wanted, pid: u32, before: Option<&Running>) {
        let home = wanted.home.to_string();
        let Some(process) = process::of(pid) else { return };
        if before.is_some_and(|run| run.home == home && run.process != process) {
            self.warnings.push(format!(
                "process {pid} is not the one that container {} was attached to, which has ended: its number was given \
                 again, and the container waits; give another `pid`, or take the container out, apply, and put it in again",
                wanted.name
            ));
            return;
        }
        let run = Running { home, process, has_networks: false, hosts: None, resolv_conf: None };
        self.runs.insert(wanted.name.clone(), run);
    }

    /// Takes out who lives in the host's namespace, or in one that another container of the manifest has.
    fn part_shared(&mut self, wanted: &[Wanted]) {
        let mut seen = BTreeMap::new();
        let host = process::of(std::process::id()).and_then(process::namespace_id);
        for it in wanted {
            let Some(run) = self.runs.get(&it.name) else { continue };
            let Some(id) = process::namespace_id(run.process) else {
                // It ended a moment ago.
                self.runs.remove(&it.name);
                continue;
            };
            let why = if Some(id) == host {
                Some(format!(
                    "container {} ({}) has the host's own network, to which nothing is attached: write `mode: host` for it",
                    it.name, it.home
                ))
            } else {
                seen.get(&id).map(|other| {
                    format!(
                        "containers {other} and {} ({}) share a namespace: write `mode: container:{other}` for the latter",
                        it.name, it.home
                    )
                })
            };
            match why {
                Some(why) => {
                    self.warnings.push(why);
                    self.runs.remove(&it.name);
                }
                None => drop(seen.insert(id, it.name.clone())),
            }
        }
    }
}

/// Returns a file of a container, if it is one that lines can be written into: whoever is in there may have made it huge.
fn usable(path: &Option<PathBuf>) -> Option<PathBuf> {
    let meta = std::fs::symlink_metadata(path.as_ref()?).ok()?;
    path.clone().filter(|_| meta.is_file() && meta.len() <= LARGEST)
}

/// Says that a runtime cannot be asked, what becomes of its containers, and what helps.
fn unreachable(
    kind: Kind,
    socket: &Path,
    error: &api::Unreachable,
    (asked, kept): (&[&Wanted], &BTreeMap<ContainerName, Running>),
) -> String {
    let names = |keeps: bool| {
        let names = asked.iter().filter(|it| kept.contains_key(&it.name) == keeps).map(|it| it.name.as_str());
        let names: Vec<_> = names.collect();
        let more = names.len().saturating_sub(SHOWN);
        let shown = names.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
        if more == 0 { shown } else { format!("{shown} and {more} more") }
    };
    let mut text = format!("{kind} cannot be asked at {}: {error}", socket.display());
    let (waiting, staying) = (names(false), names(true));
    if !waiting.is_empty() {
        text.push_str(&format!("; waiting for it: {waiting}"));
    }
    if !staying.is_empty() {
        text.push_str(&format!("; as they were seen last: {staying}"));
    }
    text.push_str(&format!(". `{}` starts it; {} says where its socket is", kind.service(), kind.flag()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_socket_that_nobody_listens_at_is_named_with_the_cure() {
        let socket = PathBuf::from("/nowhere/docker.sock");
        let sockets = Sockets { docker: socket.clone(), podman: socket };
        let wanted = |number: usize| Wanted {
            name: ContainerName::try_from(format!("c{number}")).unwrap(),
            home: Home::Docker(EngineName::try_from(format!("c{number}")).unwrap()),
        };
        let wanted: Vec<_> = (0..7).map(wanted).collect();
        let me = process::of(std::process::id()).unwrap();
        let seen = |process| Running {
            home: "docker: c0".to_owned(),
            process,
            has_networks: false,
            hosts: None,
            resolv_conf: None,
        };

        let looked = look(&sockets, &wanted, &BTreeMap::new()).await;
        let before = [(wanted[0].name.clone(), seen(crate::resource::netns::Process { started: 1, ..me }))];
        let ended = look(&sockets, &wanted, &before.into()).await;

        assert_eq!((looked.runs.len(), ended.runs.len()), (0, 0));
        assert_eq!(
            looked.warnings,
            [
                "Docker cannot be asked at /nowhere/docker.sock: No such file or directory (os error 2); waiting for it: \
              c0, c1, c2, c3, c4 and 2 more. `systemctl start docker` starts it; --docker (or DOCKER_HOST) says where \
              its socket is"
            ]
        );
    }
}
