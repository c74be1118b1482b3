//! How fast containers receive and send: whether a limit can be kept, and what it comes to.

use super::interface::Interfaces;
use super::resolve::Asker;
use super::scene::{Member, Net, Scene};
use super::{Bandwidth, Network};
use crate::manifest::problem::Problem;
use crate::manifest::{self, At, Driver, OtherEnd};
use crate::resource::qdisc::{Bucket, Rate};

/// Returns the limits of each attachment, by index into the scene's.
pub(super) fn assign(
    scene: &Scene<'_>,
    interfaces: &Interfaces,
    networks: &[Network],
    origin: Asker<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Option<Bandwidth>> {
    let mut limits = Vec::with_capacity(scene.members.len());
    for (member, through) in scene.members.iter().zip(&interfaces.detours) {
        let (Some(At { value, place }), Some(network)) = (&member.spec.bandwidth, networks.get(member.net))
        else {
            limits.push(None);
            continue;
        };
        if let Some(problem) = without_host(scene, member) {
            problems.push(problem);
            limits.push(None);
            continue;
        }
        let manifest::Bandwidth { ingress, egress, burst } = value;
        let mut bucket = |rate: &Option<At<Rate>>| {
            let rate = rate.as_ref()?;
            let bucket = Bucket::new(rate.value, burst.as_ref().map(|at| at.value), network.mtu.bytes());
            if bucket.is_none() {
                let problem = too_narrow(scene, member, network, (rate, burst.as_ref()));
                // A burst is too small for both directions.
                let is_known = problems.last().is_some_and(|last| last.labels == problem.labels);
                problems.extend((!is_known).then_some(problem));
            }
            bucket
        };
        let (ingress, egress) = (bucket(ingress), bucket(egress));
        limits.push(Some(Bandwidth { origin: origin(*place), ingress, egress: egress.zip(through.clone()) }));
    }
    limits
}

/// Refuses a limit where the host has no end of the container's link: what is in the container is in its reach.
fn without_host(scene: &Scene<'_>, member: &Member<'_>) -> Option<Problem> {
    let net = scene.net(member)?;
    let (why, help) = match net.spec.driver {
        Driver::OpenVswitch(_) => return switched(member, net),
        Driver::Bridge | Driver::Veth(OtherEnd::Host) => return None,
        Driver::Macvlan { .. } => ("it is a macvlan network", "use `driver: bridge`"),
        Driver::Ipvlan { .. } => ("it is an ipvlan network", "use `driver: bridge`"),
        Driver::Physical => ("it is a physical network", "use `driver: bridge`"),
        Driver::Veth(OtherEnd::Container) => {
            ("it joins two containers", "join the host and one container by `options: {host: true}`")
        }
    };
    Some(Problem {
        message: format!(
            "`{}` cannot have a `bandwidth` on network `{}`: the host has no end of its link",
            member.container, net.name
        ),
        code: "topology::no_host_end",
        labels: vec![
            (member.spec.bandwidth.as_ref()?.place, "nothing to limit it by".to_owned()),
            (net.place, why.to_owned()),
        ],
        help: Some(format!("leave `bandwidth` out, or {help}")),
    })
}

/// Refuses a limit on a port of Open vSwitch, which takes away what others have on it: `iface_configure_qos()` in OVS
/// `vswitchd/bridge.c`.
fn switched(member: &Member<'_>, net: &Net<'_>) -> Option<Problem> {
    Some(Problem {
        message: format!(
            "`{}` cannot have a `bandwidth` on network `{}`: Open vSwitch limits its ports itself",
            member.container, net.name
        ),
        code: "topology::no_host_end",
        labels: vec![
            (member.spec.bandwidth.as_ref()?.place, "would be taken away".to_owned()),
            (net.place, "it is on Open vSwitch".to_owned()),
        ],
        help: Some("leave `bandwidth` out, or use `driver: bridge`".to_owned()),
    })
}

/// Says that a packet does not fit into a burst, or a burst not into the kernel's numbers.
fn too_narrow(
    scene: &Scene<'_>,
    member: &Member<'_>,
    network: &Network,
    (rate, burst): (&At<Rate>, Option<&At<u32>>),
) -> Problem {
    let mtu = network.mtu.bytes();
    let net = scene.net(member);
    let why = net.map(|net| (net.place, format!("its packets have up to {mtu} bytes")));
    let packet = u64::from(mtu) + 18;
    let (message, label, help) = match burst {
        Some(burst) if u64::from(burst.value) < packet => (
            format!("a burst of {} bytes holds no packet of network `{}`", burst.value, network.name),
            (burst.place, "all larger packets would be lost".to_owned()),
            format!("write {packet}b or more, or leave it out"),
        ),
        Some(burst) if packet <= rate.value.deepest() => (
            format!("a burst of {} bytes is more than the kernel counts at {}", burst.value, rate.value),
            (burst.place, "more than 4 seconds' worth".to_owned()),
            format!("write {}b or less, or leave it out", rate.value.deepest()),
        ),
        Some(_) | None => (
            format!("at {} a packet of network `{}` takes more than 4 seconds", rate.value, network.name),
            (rate.place, "slower than the kernel counts".to_owned()),
            "choose a higher rate, or a smaller `mtu` for the network".to_owned(),
        ),
    };
    Problem {
        message,
        code: "topology::narrow_bandwidth",
        labels: [label].into_iter().chain(why).collect(),
        help: Some(help),
    }
}
