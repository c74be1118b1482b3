//! What `ip addr` or `ip link` printed, here or elsewhere.

use std::cmp::Reverse;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Finding, Kind, Scene, interface, kinds, listed, sentence};
use crate::kernel::census::Interface;
use crate::names::Mac;

/// An interface as `ip` printed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Printed {
    index: Option<u32>,
    name: String,
    /// What stands behind the `@`.
    at: Option<String>,
    mac: Option<Mac>,
    addresses: Vec<IpAddr>,
}

/// Returns what each interface is that `ip addr` or `ip link` printed, with or without `-o` and `-br`; none when it printed
/// none.
pub fn pasted(text: &str, scene: &Scene) -> Vec<Finding> {
    parse(text).iter().map(|printed| explained(printed, scene)).collect()
}

fn parse(text: &str) -> Vec<Printed> {
    let mut all: Vec<Printed> = vec![];
    for line in uncoloured(text).lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let begun = match words.as_slice() {
            _ if line.starts_with([' ', '\t']) => None,
            [index, name, ..] if index.strip_suffix(':').is_some_and(is_number) => {
                Some(Printed { index: index.trim_end_matches(':').parse().ok(), ..of_name(name) })
            }
            // As `ip -br` prints it.
            [
                name,
                "UP" | "DOWN" | "UNKNOWN" | "LOWERLAYERDOWN" | "DORMANT" | "NOTPRESENT" | "TESTING",
                ..,
            ] => Some(of_name(name)),
            _ => None,
        };
        if let Some(begun) = begun {
            // `ip -o addr` has a line for each address.
            let same = |last: &Printed| last.index == begun.index && last.name == begun.name;
            if !all.last().is_some_and(same) {
                all.push(begun);
            }
        }
        if let Some(printed) = all.last_mut() {
            printed.read(&words);
        }
    }
    all
}

/// Takes out what a terminal colours by.
fn uncoloured(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn of_name(text: &str) -> Printed {
    let text = text.strip_suffix(':').unwrap_or(text);
    let (name, at) = text.split_once('@').map_or((text, None), |(name, at)| (name, Some(at.to_owned())));
    Printed { name: name.to_owned(), at, ..Printed::default() }
}

impl Printed {
    /// Reads the address of the link and those on it; those of others stand behind `brd` and `peer`.
    fn read(&mut self, words: &[&str]) {
        let mut others = false;
        for (number, word) in words.iter().enumerate() {
            let before =
                number.checked_sub(1).and_then(|before| words.get(before)).copied().unwrap_or_default();
            others |= matches!(before, "brd" | "peer");
            if !others && self.mac.is_none() {
                self.mac = Mac::try_from((*word).to_owned()).ok();
            }
            let is_address = matches!(before, "inet" | "inet6") || (number > 1 && !others);
            self.addresses.extend(word.parse::<IpNet>().ok().filter(|_| is_address).map(|net| net.addr()));
        }
    }

    /// Tells whether it may be this very interface.
    fn may_be(&self, link: &Interface) -> bool {
        let Self { index, name, at: _, mac, addresses: _ } = self;
        let same_mac = mac.is_none() || link.mac.is_none() || *mac == link.mac;
        *name == link.name && index.is_none_or(|index| index == link.index) && same_mac
    }

    /// Returns how many of its addresses an interface has.
    fn shared(&self, link: &Interface) -> usize {
        let own: Vec<IpAddr> = link.addresses.iter().map(IpNet::addr).collect();
        self.addresses.iter().filter(|address| own.contains(address)).count()
    }
}

/// Returns what an interface is: the one here that has its name, number and addresses, or else what its name tells.
fn explained(printed: &Printed, scene: &Scene) -> Finding {
    let candidates = scene.interfaces().filter(|(_, _, link)| printed.may_be(link));
    // Of several that fit as well the first counts, since the host's are the first.
    let best = candidates.min_by_key(|(_, _, link)| Reverse(printed.shared(link)));
    match best {
        Some((place, _, link)) if printed.is_told_apart(link) => interface::finding(scene, place, link),
        Some(_) | None => elsewhere(printed),
    }
}

impl Printed {
    /// Tells whether enough was printed to be sure.
    fn is_told_apart(&self, link: &Interface) -> bool {
        self.addresses.is_empty() || self.mac.is_some() || self.shared(link) > 0
    }
}

/// Returns what the name alone tells of an interface that is not here.
fn elsewhere(printed: &Printed) -> Finding {
    let Printed { name, at, addresses, .. } = printed;
    let is_loopback = name == "lo";
    let id = kinds::docker_id(name).map(|id| ("Docker", format!("the bridge of its network {id}")));
    let maker = kinds::maker(name, None);
    let own = name.strip_prefix("nf-").is_some_and(|hash| hash.len() == 10) || name.starts_with("netform.");
    let what = match (&id, maker) {
        (Some((maker, what)), _) => format!("by its name it is {maker}'s, {what}"),
        (None, _) if is_loopback => {
            "it is the loopback interface, by which a host talks to itself".to_owned()
        }
        (None, Some(maker)) => format!("by its name it is {maker}'s"),
        (None, None) if own => "by its name it is netform's".to_owned(),
        (None, None) if name.starts_with("veth") => {
            "by its name it is an end of a veth pair, as runtimes of containers make them".to_owned()
        }
        (None, None) if name.starts_with("en") || name.starts_with("eth") || name.starts_with("wl") => {
            "by its name it is a network card, or what a container has for one".to_owned()
        }
        (None, None) => "its name does not tell what it is".to_owned(),
    };
    let pair = at.as_ref().map(|at| match at.strip_prefix("if") {
        Some(index) if is_number(index) => format!("it belongs to interface {index} of another namespace"),
        Some(_) | None if at == "NONE" => "it stands on no other".to_owned(),
        Some(_) | None => format!("it belongs to {at} beside it"),
    });
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let has = Some(listed(&addresses)).filter(|_| !addresses.is_empty()).map(|all| format!("it has {all}"));
    let text =
        sentence(&format!("{name} is no interface that can be seen from here"), [Some(what), pair, has]);
    let owner = id.map(|(maker, _)| maker).or(maker).or(own.then_some("netform")).map(str::to_owned);
    Finding { owner, addresses, ..Finding::new(Kind::Elsewhere, name.clone(), text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &[(Option<u32>, &str, &[&str])]) {
        let parsed = parse(text);
        let got: Vec<_> = parsed
            .iter()
            .map(|it| {
                (it.index, it.name.clone(), it.addresses.iter().map(ToString::to_string).collect::<Vec<_>>())
            })
            .collect();
        let want: Vec<_> = want
            .iter()
            .map(|(index, name, all)| {
                (*index, (*name).to_owned(), all.iter().map(|it| (*it).to_owned()).collect())
            })
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn whatever_way_ip_prints_interfaces_they_are_read() {
        let plain = "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue\n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n    \
            inet 127.0.0.1/8 scope host lo\n       valid_lft forever\n7: eth0@if6: <UP> mtu 1500 group default\n    \
            link/ether 02:42:ac:19:03:03 brd ff:ff:ff:ff:ff:ff link-netnsid 0\n    inet 172.25.3.3/16 brd 172.25.255.255 scope global eth0\n";
        let both: [(Option<u32>, &str, &[&str]); 2] =
            [(Some(1), "lo", &["127.0.0.1"]), (Some(7), "eth0", &["172.25.3.3"])];
        check(plain, &both);
        check(
            "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever\n7: eth0    inet 172.25.3.3/16 brd 172.25.255.255 scope global\n",
            &both,
        );
        let brief: [(Option<u32>, &str, &[&str]); 2] =
            [(None, "lo", &["127.0.0.1", "::1"]), (None, "eth0", &["172.25.3.3"])];
        check(
            "lo               UNKNOWN        127.0.0.1/8 ::1/128 \neth0@if6         UP             172.25.3.3/16 \n",
            &brief,
        );
        check("1: \u{1b}[36mlo: \u{1b}[0m<UP>\n", &[(Some(1), "lo", &[])]);
        check("what is this?\n", &[]);
    }

    #[test]
    fn the_address_of_the_link_is_its_own_and_not_the_broadcast_one() {
        let [one] = parse("7: eth0@if6: <UP>\n    link/ether 02:42:ac:19:03:03 brd ff:ff:ff:ff:ff:ff\n")
            .try_into()
            .unwrap();
        let Printed { at, mac, .. } = one;
        assert_eq!((at.as_deref(), mac.unwrap().to_string().as_str()), (Some("if6"), "02:42:ac:19:03:03"));
    }
}
