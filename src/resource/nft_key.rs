//! What the keys of elements cover, so that it can be told which of them overlap.

use std::net::IpAddr;

use smol_str::SmolStr;

/// What a key covers in each of its parts.
pub type Covered = Vec<(u128, u128)>;

/// Tells whether two keys of one set overlap.
pub fn meet(one: &Covered, two: &Covered) -> bool {
    one.iter().zip(two).all(|(a, b)| a.0 <= b.1 && b.0 <= a.1)
}

/// Returns what a key covers; a word counts as itself.
pub fn covered(key: &[SmolStr]) -> Option<Covered> {
    key.iter().map(|part| span(part)).collect()
}

fn span(part: &str) -> Option<(u128, u128)> {
    if let Some((first, last)) = addresses(part) {
        return Some((number(first), number(last)));
    }
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => Some((first.into(), last.into())),
        // The name of a link or of a protocol: as many bytes as fit, which are all of them.
        (Ok(_) | Err(_), _) => {
            let word = part.bytes().fold(0_u128, |word, byte| word.wrapping_shl(8) | u128::from(byte));
            Some((word, word))
        }
    }
}

/// Returns the first and the last address that a part covers; `None` when it is of something else.
fn addresses(part: &str) -> Option<(IpAddr, IpAddr)> {
    if let Ok(net) = part.parse::<ipnet::IpNet>() {
        return Some((net.network(), net.broadcast()));
    }
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// Returns an address as what it covers.
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Tells whether an address is within a part of a key.
pub fn includes(part: &SmolStr, address: IpAddr) -> bool {
    // Addresses of one family come before those of the other.
    addresses(part).is_some_and(|(first, last)| (first..=last).contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: &str, two: &str, want: bool) {
        let [one, two] = [one, two].map(|key| {
            let key: Vec<SmolStr> = key.split(" . ").map(SmolStr::from).collect();
            covered(&key).unwrap()
        });
        assert_eq!(meet(&one, &two), want);
    }

    #[test]
    fn keys_overlap_when_all_their_parts_do() {
        check("10.0.0.0/24", "10.0.0.7", true);
        check("10.0.0.0/24", "10.0.1.0/24", false);
        check("10.0.0.0-10.0.0.9 . 10.1.0.0/16", "10.0.0.9 . 10.1.2.0-10.2.0.0", true);
        check("10.0.0.0-10.0.0.9 . 10.1.0.0/16", "10.0.0.10 . 10.1.2.0-10.2.0.0", false);
        check("fd00::1 . fd00::/64 . tcp . 80-90", "fd00::1 . fd00::9 . tcp . 90", true);
        check("fd00::1 . fd00::/64 . tcp . 80-90", "fd00::1 . fd00::9 . udp . 90", false);
        check("10.0.0.0/24 . br-front", "10.0.0.0/24 . br-back", false);
    }

    #[test]
    fn an_address_is_within_a_part_of_its_family() {
        let check = |part: &str, address: &str| includes(&part.into(), address.parse().unwrap());
        assert!(check("10.0.0.0/24", "10.0.0.7") && check("10.0.0.1-10.0.0.9", "10.0.0.7"));
        assert!(check("fd00::/64", "fd00::7") && check("::/0", "fd00::7"));
        assert!(
            !check("10.0.0.0/24", "10.0.1.7") && !check("::/0", "10.0.0.7") && !check("tcp", "0.116.99.112")
        );
    }
}
