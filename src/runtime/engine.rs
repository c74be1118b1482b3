//! A runtime with an API: Docker, or Podman, which speaks the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hyper::StatusCode;
use serde::Deserialize;

use super::Kind;
use super::api::{Connection, Unreachable};
use crate::names::EngineName;

/// Where a runtime is asked.
pub(super) struct Engine<'s> {
    kind: Kind,
    socket: &'s Path,
}

/// What is said of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// It runs.
    Runs(Seen),
    /// It does not, or there is none.
    Absent,
    /// The runtime has trouble with it.
    Untold(String),
}

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) pid: u32,
    pub(super) has_networks: bool,
    pub(super) hosts: Option<PathBuf>,
    pub(super) resolv_conf: Option<PathBuf>,
}

/// What of `GET /containers/NAME/json` matters: `ContainerInspect` in Docker's `api/swagger.yaml`; Podman's
/// `GET /containers/{name}/json`, "Docker compatible".
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    name: String,
    state: State,
    #[serde(default)]
    host_config: HostConfig,
    #[serde(default)]
    hosts_path: String,
    #[serde(default)]
    resolv_conf_path: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
    pid: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
}

impl<'s> Engine<'s> {
    pub(super) fn new(kind: Kind, socket: &'s Path) -> Self {
        Self { kind, socket }
    }

    /// Returns what the runtime says of each of these.
    pub(super) async fn containers(
        &self,
        names: BTreeSet<EngineName>,
    ) -> Result<BTreeMap<EngineName, Found>, Unreachable> {
        let mut connection = Connection::open(self.socket).await?;
        let mut found = BTreeMap::new();
        for name in names {
            let (status, body) = connection.get(&format!("/containers/{name}/json")).await?;
            let said = match status {
                StatusCode::OK => inspected(&name, &body).unwrap_or_else(|error| {
                    Found::Untold(format!("{} answers what makes no sense: {error}", self.kind))
                }),
                StatusCode::NOT_FOUND => Found::Absent,
                status => {
                    let said = String::from_utf8_lossy(&body).trim().to_owned();
                    Found::Untold(format!("{} says {status}: {said}", self.kind))
                }
            };
            found.insert(name, said);
        }
        Ok(found)
    }
}

/// Returns what an answer says of the container of this name.
///
/// A runtime that knows no such name takes it for the beginning of an id, and `db` may be that of any container.
fn inspected(name: &EngineName, body: &[u8]) -> Result<Found, serde_json::Error> {
    let it: Inspected = serde_json::from_slice(body)?;
    let Inspected { id, name: called, state, host_config, hosts_path, resolv_conf_path } = it;
    let is_name = called.trim_start_matches('/') == name.as_str();
    let is_id = name.as_str().len() >= 12 && id.starts_with(name.as_str());
    if !(is_name || is_id) || !state.running || state.pid == 0 {
        return Ok(Found::Absent);
    }
    let path = |text: String| Some(PathBuf::from(text)).filter(|path| path.is_absolute());
    Ok(Found::Runs(Seen {
        pid: state.pid,
        has_networks: host_config.network_mode != "none",
        hosts: path(hosts_path),
        resolv_conf: path(resolv_conf_path),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: &str, running: bool, mode: &str) -> String {
        let id = "dbe5810b1a3db040c4ba7f356371ce6c65fba00fe9b94ad0676f8825d721d614";
        format!(
            r#"{{"Id": "{id}", "Name": "/{name}", "State": {{"Running": {running}, "Pid": 7}},
               "HostConfig": {{"NetworkMode": "{mode}"}}, "HostsPath": "/h", "ResolvConfPath": ""}}"#
        )
    }

    #[track_caller]
    fn check(asked: &str, answer: &str, want: Option<(u32, bool)>) {
        let name = EngineName::try_from(asked).unwrap();
        let found = match inspected(&name, answer.as_bytes()).unwrap() {
            Found::Runs(seen) => {
                assert_eq!((seen.hosts, seen.resolv_conf), (Some(PathBuf::from("/h")), None));
                Some((seen.pid, seen.has_networks))
            }
            Found::Absent | Found::Untold(_) => None,
        };
        assert_eq!(found, want);
    }

    #[test]
    fn a_container_is_found_by_its_name_or_enough_of_its_id() {
        check("web", &answer("web", true, "none"), Some((7, false)));
        check("web", &answer("web", true, "bridge"), Some((7, true)));
        check("web", &answer("web", false, "none"), None);
        check("dbe5810b1a3d", &answer("web", true, "none"), Some((7, false)));
        check("db", &answer("web", true, "none"), None);
    }
}
