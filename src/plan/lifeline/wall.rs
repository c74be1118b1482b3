//! Policies that would end the session, when it comes from a container to the host.

use std::net::IpAddr;

use crate::kernel::Op;
use crate::kernel::management::Session;
use crate::plan::Plan;
use crate::resource::Resource;
use crate::resource::nft::NftElement;
use crate::resource::nft_key::{covered, number};
use crate::resource::owner::Owner;
use crate::resource::state::Entry;

/// What an element says of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// Its port is allowed.
    Allowed,
    /// Its port is denied.
    Denied,
    /// Everything of the client's is denied that nothing with ports allows.
    AllDenied,
}

/// Returns the policies that would have the host hear its client no more.
pub(super) fn denied(plan: &Plan, session: &Session) -> Option<String> {
    let (mut coming, mut going) = (vec![], vec![]);
    for op in plan.waves.iter().flatten() {
        match op {
            Op::Create(entry) => coming.extend(says(entry, session)),
            Op::Delete(entry) => going.extend(says(entry, session)),
            Op::Update { .. } => {}
        }
    }
    let by =
        |all: &[(Says, Owner)], what: Says| all.iter().find(|(says, _)| *says == what).map(|it| it.1.clone());
    if by(&coming, Says::Allowed).is_some() {
        return None;
    }
    let stays_denied = by(&going, Says::AllDenied).is_none() && by(&coming, Says::AllDenied).is_none();
    if let Some(owner) = by(&coming, Says::Denied).or(by(&coming, Says::AllDenied)) {
        return Some(format!("{owner} would deny it"));
    }
    let gone = by(&going, Says::Allowed).filter(|_| stays_denied)?;
    Some(format!("{gone} allows it, and would be removed"))
}

fn says(entry: &Entry, session: &Session) -> Option<(Says, Owner)> {
    let Resource::NftElement(NftElement { set, key, .. }) = &entry.resource else { return None };
    let family = match session.client {
        IpAddr::V4(_) => '4',
        IpAddr::V6(_) => '6',
    };
    let says = match set.strip_suffix(family)? {
        "allow_to_host" => Says::Allowed,
        "deny_to_host" => Says::Denied,
        "deny_all_to_host" => Says::AllDenied,
        _ => return None,
    };
    let covered = covered(key)?;
    let holds = |at: usize, number: u128| {
        covered.get(at).is_some_and(|(first, last)| (*first..=*last).contains(&number))
    };
    let here = match says {
        Says::AllDenied => true,
        Says::Allowed | Says::Denied => {
            key.get(2).is_some_and(|protocol| protocol == "tcp")
                && session.port.is_some_and(|port| holds(3, port.into()))
        }
    };
    // To which address of the host the session came is mostly known.
    let at = session.server.is_none_or(|server| holds(1, number(server)));
    (here && at && holds(0, number(session.client))).then(|| (says, entry.owner.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::table_id;
    use crate::resource::nft::{NftFamily, Stance};

    fn element(policy: &str, set: &str, key: &str) -> Entry {
        let table = table_id(&"shop".try_into().unwrap(), NftFamily::Inet);
        let key = key.split(" . ").map(Into::into).collect();
        let element = NftElement { table, set: set.into(), key, data: None, stance: Stance::Restricts };
        Entry {
            resource: Resource::NftElement(element),
            owner: Owner::Policy(policy.into()),
            origin: None,
            ignore: vec![],
        }
    }

    /// Checks what a plan does to a session from 172.25.0.7 to port 22.
    #[track_caller]
    fn check(ops: Vec<Op>, want: Option<&str>) {
        let client = "172.25.0.7".parse().unwrap();
        let session =
            Session { client, zone: None, server: Some("10.0.0.1".parse().unwrap()), port: Some(22) };
        let plan = Plan { waves: vec![ops], ..Plan::default() };
        assert_eq!(denied(&plan, &session).as_deref(), want);
    }

    #[test]
    fn a_policy_may_not_end_the_session_that_it_comes_from() {
        let all = || element("a", "deny_all_to_host4", "172.25.0.0/24 . 0.0.0.0/0");
        let port = || element("b", "deny_to_host4", "172.25.0.0-172.25.0.9 . 10.0.0.0/8 . tcp . 20-30");
        let allow = || element("c", "allow_to_host4", "172.25.0.7 . 0.0.0.0/0 . tcp . 22");
        let create = |entry: Entry| Op::Create(entry);

        check(vec![create(all())], Some("policy.a would deny it"));
        check(vec![create(port())], Some("policy.b would deny it"));
        check(vec![create(all()), create(allow())], None);
        check(vec![Op::Delete(allow())], Some("policy.c allows it, and would be removed"));
        check(vec![Op::Delete(allow()), Op::Delete(all())], None);
        check(vec![create(element("d", "deny_to_host4", "172.25.0.7 . 0.0.0.0/0 . udp . 22"))], None);
        check(vec![create(element("d", "deny_all_to_host4", "172.25.0.8-172.25.0.9 . 0.0.0.0/0"))], None);
        check(vec![create(element("d", "deny_all_to_host4", "172.25.0.7 . 192.168.0.0/16"))], None);
        check(vec![create(element("d", "deny_all_to_host6", "::/0 . ::/0"))], None);
    }
}
