//! Who asked for a kernel object: the resource address, the place in the manifest, and the mark in the kernel.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, ToSmolStr as _};

use crate::names::{ContainerName, NetName, ProjectName};

/// The address of a resource: a thing that the user declared, e.g. `attachment.web@front`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "SmolStr", into = "SmolStr")]
pub enum Owner {
    /// What the project needs once: the firewall's skeleton and the global sysctls. Written `project`.
    Project,
    /// Written `network.front`.
    Network(NetName),
    /// Written `container.web`.
    Container(ContainerName),
    /// Written `attachment.web@front`.
    Attachment {
        /// The container that is attached.
        container: ContainerName,
        /// The network that it is attached to.
        network: NetName,
    },
    /// A published port or range, written `port.0.0.0.0:8080/tcp`; the text behind `port.`.
    Port(SmolStr),
    /// A policy, written `policy.deny:network.front:world`; the text behind `policy.` is its name.
    Policy(SmolStr),
    /// An external address of a container, written `external.203.0.113.9`.
    External(IpAddr),
    /// Nobody yet, or no longer: what is being adopted or given up. The text is what stands in the mark's place: the
    /// alias of a link or of a namespace's `lo`, the protocol number of an address or a route.
    Unmarked(SmolStr),
}

impl Owner {
    /// Returns the network that it is, or is on.
    pub fn network(&self) -> Option<&NetName> {
        match self {
            Self::Network(network) | Self::Attachment { container: _, network } => Some(network),
            Self::Project
            | Self::Container(_)
            | Self::Port(_)
            | Self::Policy(_)
            | Self::External(_)
            | Self::Unmarked(_) => None,
        }
    }

    /// Returns the container that is attached.
    pub fn attached(&self) -> Option<&ContainerName> {
        match self {
            Self::Attachment { container, network: _ } => Some(container),
            Self::Project
            | Self::Network(_)
            | Self::Container(_)
            | Self::Port(_)
            | Self::Policy(_)
            | Self::External(_)
            | Self::Unmarked(_) => None,
        }
    }

    /// Tells whether the kernel object carries no mark.
    pub fn is_unmarked(&self) -> bool {
        match self {
            Self::Unmarked(_) => true,
            Self::Project
            | Self::Network(_)
            | Self::Container(_)
            | Self::Attachment { .. }
            | Self::Port(_)
            | Self::Policy(_)
            | Self::External(_) => false,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.width().is_some() || f.precision().is_some() {
            return f.pad(&self.to_smolstr());
        }
        let mut said = |words: &[&str]| words.iter().try_for_each(|word| f.write_str(word));
        match self {
            Self::Project => said(&["project"]),
            Self::Network(name) => said(&["network.", name.as_str()]),
            Self::Container(name) => said(&["container.", name.as_str()]),
            Self::Attachment { container, network } => {
                said(&["attachment.", container.as_str(), "@", network.as_str()])
            }
            Self::Port(port) => said(&["port.", port]),
            Self::Policy(name) => said(&["policy.", name]),
            Self::External(address) => write!(f, "external.{address}"),
            Self::Unmarked(instead) => said(&["unmarked.", instead]),
        }
    }
}

impl TryFrom<SmolStr> for Owner {
    type Error = String;

    fn try_from(text: SmolStr) -> Result<Self, String> {
        Self::try_from(text.as_str())
    }
}

impl TryFrom<&str> for Owner {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is not a resource address such as `network.front`");
        if text == "project" {
            return Ok(Self::Project);
        }
        let (kind, name) = text.split_once('.').ok_or_else(refused)?;
        match kind {
            "network" => NetName::try_from(name).map(Self::Network).map_err(|_| refused()),
            "container" => ContainerName::try_from(name).map(Self::Container).map_err(|_| refused()),
            "attachment" => {
                let (container, network) = name.split_once('@').ok_or_else(refused)?;
                Ok(Self::Attachment {
                    container: ContainerName::try_from(container).map_err(|_| refused())?,
                    network: NetName::try_from(network).map_err(|_| refused())?,
                })
            }
            "port" => Ok(Self::Port(name.into())),
            "policy" => Ok(Self::Policy(name.into())),
            "external" => name.parse().map(Self::External).map_err(|_| refused()),
            "unmarked" => Ok(Self::Unmarked(name.into())),
            _ => Err(refused()),
        }
    }
}

impl From<Owner> for SmolStr {
    fn from(owner: Owner) -> Self {
        owner.to_smolstr()
    }
}

/// A place in the manifest, as messages print it: `shop.yaml:14:3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The file, as the user named it.
    pub file: SmolStr,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The mark that says in the kernel whose a link or a namespace is: `netform:shop:network.front`.
///
/// It is the link's ifalias (for a namespace that of its `lo`), so it survives renames and moves, and dies with the
/// object. A `!` at the end says that the owner is protected from destruction, even when its block is gone from the
/// manifest. Source: `IFLA_IFALIAS`, at most `IFALIASZ` = 256 bytes, `include/uapi/linux/if.h`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The project that owns the object.
    pub project: ProjectName,
    /// The resource that owns it.
    pub owner: Owner,
    /// Whether `prevent_destroy` is set.
    pub protected: bool,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project, owner, protected } = self;
        if let Owner::Unmarked(instead) = owner {
            return f.write_str(instead);
        }
        f.write_str("netform:")?;
        f.write_str(project.as_str())?;
        f.write_str(":")?;
        owner.fmt(f)?;
        f.write_str(if *protected { "!" } else { "" })
    }
}

impl Mark {
    /// Reads a mark back; `None` when the text is somebody else's.
    pub fn parse(text: &str) -> Option<Self> {
        let (project, owner) = text.strip_prefix("netform:")?.split_once(':')?;
        let (owner, protected) = owner.strip_suffix('!').map_or((owner, false), |owner| (owner, true));
        let owner = Owner::try_from(owner).ok().filter(|owner| !owner.is_unmarked())?;
        Some(Self { project: ProjectName::try_from(project).ok()?, owner, protected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str) {
        let mark = Mark::parse(text).unwrap_or_else(|| panic!("`{text}` is a mark"));
        assert_eq!(mark.to_string(), text);
    }

    #[test]
    fn a_mark_is_read_back_as_it_was_written() {
        check("netform:shop:network.front");
        check("netform:shop:network.front!");
        check("netform:shop:attachment.web@front");
        check("netform:shop:container.web.1");
        check("netform:shop:port.0.0.0.0:8080/tcp");
        check("netform:shop:policy.deny:network.front:[fd00::/8]:25/tcp");
        check("netform:shop:external.203.0.113.9");
        check("netform:shop:external.2001:db8::9");
        check("netform:shop:project");
    }

    #[test]
    fn a_text_of_somebody_else_is_no_mark() {
        assert_eq!(Mark::parse("uplink to rack 4"), None);
        assert_eq!(Mark::parse("netform:Shop:network.front"), None);
        assert_eq!(Mark::parse("netform:shop:network"), None);
        assert_eq!(Mark::parse("netform:shop:external.eth0"), None);
        assert_eq!(Mark::parse("netform:shop:unmarked.uplink"), None);
    }
}
