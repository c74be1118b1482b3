//! Containers whose names mean somebody else elsewhere.

use std::net::IpAddr;

use super::Topology;

/// Returns a sentence for each container that is not meant where its bare name is written.
pub(super) fn warnings(topology: &Topology) -> Vec<String> {
    let told = topology.containers.iter().filter_map(|container| {
        let (name, origin) = (&container.name, &container.origin);
        let meant = elsewhere(name.as_str())?;
        Some(format!(
            "{origin}: container `{name}` has a misleading name: {meant}; give it another name, or write `container.{name}`"
        ))
    });
    told.collect()
}

/// Returns what a name means where it is not a container's.
fn elsewhere(name: &str) -> Option<&'static str> {
    match name {
        "host" => Some("`netform explain --path` and policies mean the machine by that"),
        "world" => Some("policies mean by that whoever is on no network of the project"),
        "localhost" => Some("everybody means himself by that, so no other container finds it"),
        _ if name.parse::<IpAddr>().is_ok() => {
            Some("it reads as an address, and whoever has that is meant by it")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_somebody_else_is_told() {
        for name in ["host", "world", "localhost", "10.0.0.1", "127.0.0.1"] {
            assert!(elsewhere(name).is_some(), "{name}");
        }
        for name in ["hosts", "web", "Host", "10.0.0", "10", "beef", "localhost.web"] {
            assert_eq!(elsewhere(name), None, "{name}");
        }
    }
}
