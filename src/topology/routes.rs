//! Routes of containers: by which link each leaves, and whether it can.

use std::net::IpAddr;

use foldhash::HashMap;
use ipnet::IpNet;

use super::resolve::Asker;
use super::scene::{Member, Party, Scene};
use super::{Attachment, Container, modes};
use crate::manifest::problem::Problem;
use crate::manifest::{self, At, Place};
use crate::resource::owner::Origin;
use crate::resource::route::{MAIN_TABLE, Rank, Refusal};
use crate::resource::sysctl::Family;

/// A route that the manifest asks for, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticRoute {
    /// Where the manifest declares it.
    pub origin: Origin,
    /// Where it leads.
    pub to: IpNet,
    /// What becomes of the packets.
    pub hop: Hop,
    /// Which of the routes of one destination it is.
    pub rank: Rank,
}

/// What becomes of the packets of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hop {
    /// They leave by the attachment's link.
    By {
        /// The next hop; `None` for what is on the link itself.
        via: Option<IpAddr>,
        /// Whether the next hop is on the link though no subnet says so.
        onlink: bool,
    },
    /// They go nowhere.
    Refused(Refusal),
}

/// Gives the containers and their attachments the routes that the manifest asks for.
pub(super) fn assign(
    scene: &Scene<'_>,
    containers: &mut [Container],
    origin: Asker<'_>,
    problems: &mut Vec<Problem>,
) {
    for (party, container) in scene.containers.iter().zip(containers) {
        let members = scene.of(party);
        if party.spec.routes.is_empty() && members.iter().all(|member| member.spec.routes.is_empty()) {
            continue;
        }
        if let Some(problem) = without_a_namespace(party) {
            problems.push(problem);
            continue;
        }
        check_each_once(party, (members, container), problems);
        let Container { attachments, routes, .. } = container;
        let is_unknown = |member: &Member<'_>, route: &At<manifest::Route>| {
            let family = Family::of(route.value.to.value.addr());
            scene.net(member).is_some_and(|net| scene.is_unknown(net, Some(family)))
        };
        for (member, attachment) in members.iter().zip(attachments.iter_mut()) {
            for route in member.spec.routes.iter().filter(|route| !is_unknown(member, route)) {
                match through(route, (member, attachment)) {
                    Ok(()) => attachment.routes.push(resolved(route, origin)),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        for route in &party.spec.routes {
            match leaves_by(route, (party, members), attachments) {
                Ok(Some(attachment)) => attachment.routes.push(resolved(route, origin)),
                Ok(None) => routes.push(resolved(route, origin)),
                Err(_) if members.iter().any(|member| is_unknown(member, route)) => {}
                Err(problem) => problems.push(problem),
            }
        }
    }
}

fn resolved(At { value, place }: &At<manifest::Route>, origin: Asker<'_>) -> StaticRoute {
    let hop = match &value.hop {
        manifest::Hop::Via { router, onlink } => Hop::By { via: Some(router.value), onlink: *onlink },
        manifest::Hop::Direct => Hop::By { via: None, onlink: false },
        manifest::Hop::Refused(refusal) => Hop::Refused(*refusal),
    };
    StaticRoute { origin: origin(*place), to: value.to.value, hop, rank: rank(value) }
}

fn rank(route: &manifest::Route) -> Rank {
    let usual = Rank::usual(Family::of(route.to.value.addr())).metric;
    // To IPv6, 0 is to say nothing.
    let metric = route.metric.filter(|metric| *metric > 0).unwrap_or(usual);
    Rank { table: route.table, metric }
}

/// A container that shares the namespace of another has the routes that are there.
fn without_a_namespace(party: &Party<'_>) -> Option<Problem> {
    let mode = party.spec.mode.as_ref().filter(|_| !modes::is_alone(party))?;
    let route = party.spec.routes.first()?;
    let help = match modes::owner(party) {
        Some(owner) => format!("write the routes under `{owner}`: `{}` has them, too", party.name),
        None => "its routes are the host's own, which netform leaves alone: leave `routes` out".to_owned(),
    };
    Some(Problem {
        message: format!("`{}` has `mode: {}`, and yet a route of its own", party.name, mode.value),
        code: "topology::shared_with_more",
        labels: vec![
            (route.place, "a route".to_owned()),
            (mode.place, "it has no namespace of its own".to_owned()),
        ],
        help: Some(help),
    })
}

/// Returns the attachment that a container's route leaves by; `None` for one that leads nowhere.
fn leaves_by<'a>(
    route: &At<manifest::Route>,
    (party, members): (&Party<'_>, &[Member<'_>]),
    attachments: &'a mut [Attachment],
) -> Result<Option<&'a mut Attachment>, Problem> {
    let router = match &route.value.hop {
        manifest::Hop::Via { router, onlink: _ } => router,
        manifest::Hop::Refused(_) | manifest::Hop::Direct => return Ok(None),
    };
    let found = members.iter().zip(attachments).find(|(_, it)| is_beside(it, router.value));
    let Some((member, attachment)) = found else {
        let mut labels = vec![(router.place, "in no subnet of the container".to_owned())];
        labels.extend(members.iter().map(|member| (member.place, "one of its networks".to_owned())));
        labels.extend(members.is_empty().then(|| (party.place, "on no network".to_owned())));
        let help = "name a router in a subnet of the container; one that is in none of them is written under its network, \
                    with `onlink: true`";
        return Err(outside(route, router, labels, help.to_owned()));
    };
    through(route, (member, attachment)).map(|()| Some(attachment))
}

/// Tells whether an address is in a subnet of an attachment.
fn is_beside(attachment: &Attachment, router: IpAddr) -> bool {
    attachment.addresses.iter().any(|net| net.contains(&router))
}

/// Tells whether a route can leave by an attachment.
fn through(
    At { value, place }: &At<manifest::Route>,
    (member, attachment): (&Member<'_>, &Attachment),
) -> Result<(), Problem> {
    let (container, network) = (member.container, &attachment.network);
    let router = match &value.hop {
        manifest::Hop::Refused(_) => return Ok(()),
        manifest::Hop::Direct => None,
        manifest::Hop::Via { router, onlink } => Some((router, *onlink)),
    };
    let is_v4 = value.to.value.addr().is_ipv4();
    if !attachment.addresses.iter().any(|net| net.addr().is_ipv4() == is_v4) {
        let family = if is_v4 { "IPv4" } else { "IPv6" };
        return Err(Problem {
            message: format!("`{container}` has no {family} address on `{network}`, and yet a route by it"),
            code: "topology::route_without_address",
            labels: vec![(value.to.place, family.to_owned()), (member.place, format!("no {family} here"))],
            help: Some(format!("give network `{network}` an {family} subnet, or leave the route out")),
        });
    }
    let Some((router, onlink)) = router else { return Ok(()) };
    if attachment.addresses.iter().any(|net| net.addr() == router.value) {
        return Err(Problem {
            message: format!("the route to {} leads `{container}` to itself", value.to.value),
            code: "topology::route_to_itself",
            labels: vec![
                (router.place, "its own address".to_owned()),
                (member.place, format!("`{container}` on `{network}`")),
            ],
            help: Some("name another router".to_owned()),
        });
    }
    // Every link has the link-local subnet.
    let is_link_local = matches!(router.value, IpAddr::V6(router) if router.is_unicast_link_local());
    if onlink || is_link_local || is_beside(attachment, router.value) {
        return Ok(());
    }
    let subnets: Vec<_> = attachment.addresses.iter().map(|net| net.trunc().to_string()).collect();
    let labels = vec![
        (router.place, "in no subnet of the network".to_owned()),
        (member.place, format!("`{network}` is {}", subnets.join(" and "))),
    ];
    let route = At { value: value.clone(), place: *place };
    let help = "name a router on that network, or say `onlink: true` if this one is there nevertheless";
    Err(outside(&route, router, labels, help.to_owned()))
}

fn outside(
    route: &At<manifest::Route>,
    router: &At<IpAddr>,
    labels: Vec<(Place, String)>,
    help: String,
) -> Problem {
    let (to, via) = (route.value.to.value, router.value);
    Problem {
        message: format!("the route to {to} has its next hop {via} where the container cannot reach it"),
        code: "topology::route_outside",
        labels,
        help: Some(help),
    }
}

/// Checks that no two routes of a container are the same one: those that the manifest asks for, and those that it has
/// anyway.
fn check_each_once(
    party: &Party<'_>,
    (members, container): (&[Member<'_>], &Container),
    problems: &mut Vec<Problem>,
) {
    let mut taken: HashMap<(IpNet, Rank), (Place, String)> = HashMap::default();
    for (member, attachment) in members.iter().zip(&container.attachments) {
        let network = &attachment.network;
        for net in &attachment.addresses {
            // `fib_add_ifaddr()` in Linux `net/ipv4/fib_frontend.c`; `IP6_RT_PRIO_ADDRCONF`.
            let metric = if net.addr().is_ipv4() { 0 } else { 256 };
            let rank = Rank { table: MAIN_TABLE, metric };
            taken.insert((net.trunc(), rank), (member.place, format!("the subnet of `{network}` itself")));
        }
        for family in [Family::Ipv4, Family::Ipv6].into_iter().filter(|family| attachment.leads_out(*family))
        {
            let what = format!("the default route by `{network}`");
            taken.insert((super::everywhere(family), Rank::usual(family)), (member.place, what));
        }
    }
    let all = members.iter().flat_map(|member| &member.spec.routes).chain(&party.spec.routes);
    for At { value, place } in all {
        let key = (value.to.value, rank(value));
        let Some((first, what)) = taken.get(&key) else {
            taken.insert(key, (*place, "first here".to_owned()));
            continue;
        };
        let metric = key.1.metric;
        problems.push(Problem {
            message: format!("`{}` has two routes to {} of metric {metric}", party.name, value.to.value),
            code: "topology::route_twice",
            labels: vec![(*place, "here again".to_owned()), (*first, what.clone())],
            help: Some("leave one out, or give this one another `metric`: the lowest goes first".to_owned()),
        });
    }
}
