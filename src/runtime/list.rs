//! What Docker and Podman run, all of it: containers and networks, as far as they tell.

use std::path::Path;

use hyper::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::api::{Connection, Unreachable};
use super::{Kind, Sockets};

/// What the runtimes of a host run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The containers that run.
    pub containers: Vec<Runs>,
    /// The networks.
    pub networks: Vec<Network>,
}

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    /// Who runs it: `Docker`.
    pub runtime: String,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its first process.
    pub pid: u32,
    /// What it publishes: the port of the host, the protocol, and its own port.
    pub ports: Vec<(u16, String, u16)>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Whose it is: `Docker`.
    pub runtime: String,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The bridge that it is told to have.
    pub bridge: Option<String>,
}

/// `ContainerSummary` in Docker's `api/swagger.yaml`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    ports: Option<Vec<Port>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Port {
    private_port: u16,
    public_port: Option<u16>,
    #[serde(rename = "Type", default)]
    protocol: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    state: State,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    pid: u32,
}

/// `Network` in Docker's `api/swagger.yaml`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    name: String,
    id: String,
    #[serde(default)]
    options: Option<std::collections::BTreeMap<String, String>>,
}

/// Asks both runtimes. One that does not answer runs nothing that could be named.
pub async fn all(sockets: &Sockets) -> Listing {
    let mut all = Listing::default();
    for kind in [Kind::Docker, Kind::Podman] {
        if let Ok(Listing { containers, networks }) = ask(kind, sockets.of(kind)).await {
            all.containers.extend(containers);
            all.networks.extend(networks);
        }
    }
    all
}

/// Returns all networks and all containers of a Docker, as it tells them.
///
/// # Errors
///
/// Why it cannot be asked, in words.
pub async fn told(socket: &Path) -> Result<(Vec<serde_json::Value>, Vec<serde_json::Value>), String> {
    let ask = async {
        let mut connection = Connection::open(socket).await?;
        let networks = get(&mut connection, "/networks").await?.unwrap_or_default();
        let mut containers = vec![];
        let all = get::<Vec<Summary>>(&mut connection, "/containers/json?all=true").await?;
        for Summary { id, .. } in all.unwrap_or_default() {
            // It may be gone meanwhile.
            containers.extend(get(&mut connection, &format!("/containers/{id}/json")).await?);
        }
        Ok::<_, Unreachable>((networks, containers))
    };
    ask.await.map_err(|error| error.to_string())
}

async fn ask(kind: Kind, socket: &Path) -> Result<Listing, Unreachable> {
    const BRIDGE: &str = "com.docker.network.bridge.name";
    let mut connection = Connection::open(socket).await?;
    let mut listing = Listing::default();
    for summary in get::<Vec<Summary>>(&mut connection, "/containers/json").await?.unwrap_or_default() {
        let Summary { id, names, ports } = summary;
        // It may have ended meanwhile.
        let Some(Inspected { state }) = get(&mut connection, &format!("/containers/{id}/json")).await? else {
            continue;
        };
        let name = names.first().map_or(&id, |name| name).trim_start_matches('/').to_owned();
        let mut ports: Vec<_> = ports
            .into_iter()
            .flatten()
            .filter_map(|port| Some((port.public_port?, port.protocol, port.private_port)))
            .collect();
        ports.sort();
        // One line each for IPv4 and IPv6.
        ports.dedup();
        listing.containers.push(Runs { runtime: kind.to_string(), id, name, pid: state.pid, ports });
    }
    for network in get::<Vec<Described>>(&mut connection, "/networks").await?.unwrap_or_default() {
        let Described { name, id, options } = network;
        let bridge = options.and_then(|mut options| options.remove(BRIDGE));
        listing.networks.push(Network { runtime: kind.to_string(), id, name, bridge });
    }
    Ok(listing)
}

async fn get<T: DeserializeOwned>(
    connection: &mut Connection,
    target: &str,
) -> Result<Option<T>, Unreachable> {
    let (status, body) = connection.get(target).await?;
    if status != StatusCode::OK {
        return Ok(None);
    }
    serde_json::from_slice(&body).map(Some).map_err(|error| Unreachable::Nonsense(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_runtime_says_of_a_container_and_a_network_is_understood() {
        let container = r#"{"Id": "dbe5", "Names": ["/shop-db"], "Image": "x",
            "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}, {"PrivatePort": 53, "Type": "udp"}]}"#;
        let network =
            r#"{"Name": "bridge", "Id": "77", "Options": {"com.docker.network.bridge.name": "docker0"}}"#;

        let container: Summary = serde_json::from_str(container).unwrap();
        let network: Described = serde_json::from_str(network).unwrap();

        assert_eq!((container.id.as_str(), container.names), ("dbe5", vec!["/shop-db".to_owned()]));
        let ports: Vec<_> =
            container.ports.unwrap().iter().map(|port| (port.public_port, port.private_port)).collect();
        assert_eq!(ports, [(Some(8080), 80), (None, 53)]);
        assert_eq!(network.options.unwrap().into_values().collect::<Vec<_>>(), ["docker0"]);
    }
}
