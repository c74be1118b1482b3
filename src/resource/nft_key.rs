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
    if let Ok(net) = part.parse::<ipnet::IpNet>() {
        return Some((number(net.network()), number(net.broadcast())));
    }
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    if let (Ok(first), Ok(last)) = (first.parse::<IpAddr>(), last.parse::<IpAddr>()) {
        return Some((number(first), number(last)));
    }
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => Some((first.into(), last.into())),
        // The name of a link or of a protocol: as many bytes as fit, which are all of them.
        (Ok(_) | Err(_), _) => {
            let word = part.bytes().fold(0_u128, |word, byte| word.wrapping_shl(8) | u128::from(byte));
            Some((word, word))
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
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
}
