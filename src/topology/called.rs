//! Names that mean somebody else elsewhere, or that others have: who writes them does not reach whom he means.

use std::borrow::Cow;
use std::net::IpAddr;

use foldhash::{HashMap, HashMapExt};

use super::{Attachment, Container, Topology};
use crate::names::{Alias, ContainerName, NetName};

/// Who is on a network, and how.
type Present<'t> = (&'t Container, &'t Attachment);

/// Returns a sentence for each container, alias and link that is not meant where its bare name is written.
pub fn warnings(topology: &Topology) -> Vec<String> {
    let mut told: Vec<String> = topology.containers.iter().filter_map(misleading).collect();
    for container in &topology.containers {
        for attachment in &container.attachments {
            let links = attachment.links.iter().map(|(alias, _)| ("link", alias));
            let all = attachment.aliases.iter().map(|alias| ("alias", alias)).chain(links);
            told.extend(all.filter_map(|named| nobodys(container, attachment, named)));
        }
    }
    let mut on: HashMap<&NetName, Vec<Present<'_>>> = HashMap::new();
    for container in &topology.containers {
        for attachment in &container.attachments {
            on.entry(&attachment.network).or_default().push((container, attachment));
        }
    }
    let there = topology.networks.iter().filter_map(|network| Some((&network.name, on.get(&network.name)?)));
    told.extend(there.flat_map(|(network, there)| shared(network, there)));
    told
}

fn misleading(container: &Container) -> Option<String> {
    let (name, origin) = (&container.name, &container.origin);
    let meant = elsewhere(name.as_str())?;
    Some(format!(
        "{origin}: container `{name}` has a misleading name: {meant}; give it another name, or write `container.{name}`"
    ))
}

/// Says that an alias, or the name of a link, stays what it is for everybody.
fn nobodys(container: &Container, attachment: &Attachment, (what, alias): (&str, &Alias)) -> Option<String> {
    let why = reserved(alias.as_str())?;
    let (origin, name) = (&attachment.origin, &container.name);
    Some(format!("{origin}: {what} `{alias}` of container `{name}` leads to nobody: {why}; choose another"))
}

/// Returns what a name means where it is not a container's.
fn elsewhere(name: &str) -> Option<&'static str> {
    match name {
        "host" => Some("`netform explain --path` and policies mean the machine by that"),
        "world" => Some("policies mean by that whoever is on no network of the project"),
        _ if name.parse::<IpAddr>().is_ok() => {
            Some("it reads as an address, and whoever has that is meant by it")
        }
        _ => reserved(name),
    }
}

/// Tells whether a name is nobody's to have: it means the same in every container. Upper and lower case are the same.
pub(crate) fn is_reserved(name: &str) -> bool {
    reserved(name).is_some()
}

fn reserved(name: &str) -> Option<&'static str> {
    let name = lower(name.trim_end_matches('.'));
    let is_below = |domain: &str| {
        name.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    if *name == *"ip6-localhost" || is_below("localhost") {
        // RFC 6761 section 6.3.
        Some("everybody means himself by that, so no other container finds it")
    } else if is_below("netform.internal") {
        Some("netform itself gives the names below `netform.internal`, such as that of the host")
    } else {
        None
    }
}

/// Returns a name as names are compared: resolvers and hosts files know no case (RFC 4343).
pub(crate) fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// Returns a sentence for each name on a network that another container has, too, and is found by.
fn shared(network: &NetName, there: &[Present<'_>]) -> Vec<String> {
    // Nearly always names are as different as they look.
    let is_odd = |name: &ContainerName| name.as_str().bytes().any(|it| it == b'.' || it.is_ascii_uppercase());
    let may_clash = |(container, attachment): &Present<'_>| {
        !attachment.aliases.is_empty() || container.names().any(is_odd)
    };
    if !there.iter().any(may_clash) {
        return vec![];
    }
    let mut holders: HashMap<String, &Container> = HashMap::with_capacity(2 * there.len());
    let mut told = vec![];
    for (container, attachment) in there {
        for name in container.names() {
            for form in [name.to_string(), format!("{name}.{network}")] {
                match holders.get(&*lower(&form)) {
                    Some(holder) if holder.name != container.name => told.push(format!(
                        "{}: on network `{network}`, `{form}` is container `{}`, and not `{name}`: upper and lower case are the same, and `NAME.{network}` is NAME there; rename one of them",
                        attachment.origin, holder.name
                    )),
                    Some(_) => {}
                    None => drop(holders.insert(lower(&form).into_owned(), container)),
                }
            }
        }
    }
    for (container, attachment) in there {
        for alias in &attachment.aliases {
            let holder = holders.get(&*lower(alias.as_str())).filter(|holder| holder.name != container.name);
            told.extend(holder.map(|holder| format!(
                "{}: on network `{network}`, alias `{alias}` of container `{}` leads to nobody: it is the name of container `{}`; choose another",
                attachment.origin, container.name, holder.name
            )));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_somebody_else_is_told() {
        for name in ["host", "world", "localhost", "10.0.0.1", "127.0.0.1", "LocalHost", "x.localhost."] {
            assert!(elsewhere(name).is_some(), "{name}");
        }
        for name in ["ip6-localhost", "host.netform.internal", "Host.Netform.Internal", "netform.internal"] {
            assert!(is_reserved(name) && elsewhere(name).is_some(), "{name}");
        }
        for name in
            ["hosts", "web", "Host", "10.0.0", "10", "beef", "localhost.web", "xlocalhost", "internal"]
        {
            assert_eq!(elsewhere(name), None, "{name}");
        }
    }
}
