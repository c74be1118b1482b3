//! Whether a link speaks IPv6 and is forwarded from, and how old an address is.

use rustix::time::{ClockId, clock_gettime};

use super::{RTM_NEWLINK, attributes, u32_at};

const AF_INET: u16 = 2;
const IFLA_INET_CONF: u16 = 1;

/// Reads whether a link speaks IPv6, of `IFLA_AF_SPEC`: `disable_ipv6` is among the parameters that the kernel tells with
/// every link (`AF_INET6`, `IFLA_INET6_CONF` and `DEVCONF_DISABLE_IPV6`, `inet6_fill_ifla6_attrs()` in Linux
/// `net/ipv6/addrconf.c`).
pub(super) fn speaks_ipv6(spec: &[u8]) -> Option<bool> {
    const AF_INET6: u16 = 10;
    const IFLA_INET6_CONF: u16 = 2;
    const DISABLE_IPV6: usize = 26;
    parameter(spec, (AF_INET6, IFLA_INET6_CONF, DISABLE_IPV6)).map(|disabled| disabled == 0)
}

/// Reads whether what comes by a link is forwarded (`AF_INET`, `IFLA_INET_CONF` and `IPV4_DEVCONF_FORWARDING`, which is the
/// first; `inet_fill_link_af()` in Linux `net/ipv4/devinet.c`).
pub(super) fn forwards(spec: &[u8]) -> Option<bool> {
    const FORWARDING: usize = 0;
    parameter(spec, (AF_INET, IFLA_INET_CONF, FORWARDING)).map(|forwards| forwards != 0)
}

/// Reads whether the kernel puts the next address of a subnet in the place of the first one, when that goes: `IFLA_AF_SPEC` of a
/// link, with `IPV4_DEVCONF_PROMOTE_SECONDARIES` (`include/uapi/linux/ip.h`).
pub(in super::super) fn promotes_secondaries(kind: u16, body: &[u8]) -> Option<bool> {
    const IFLA_AF_SPEC: u16 = 26;
    let (_, all) = body.split_at_checked(16).filter(|_| kind == RTM_NEWLINK)?;
    let (_, spec) = attributes(all).find(|(kind, _)| *kind == IFLA_AF_SPEC)?;
    // Number 20, of an array that begins with number 1.
    parameter(spec, (AF_INET, IFLA_INET_CONF, 19)).map(|promotes| promotes != 0)
}

/// Returns a parameter of a link: of which family, in which array, and where in there.
fn parameter(spec: &[u8], (family, array, at): (u16, u16, usize)) -> Option<u32> {
    let (_, value) = attributes(spec).find(|(kind, _)| *kind == family)?;
    let (_, parameters) = attributes(value).find(|(kind, _)| *kind == array)?;
    u32_at(parameters, at * 4)
}

/// Tells whether an address is less than a second old, of `IFA_CACHEINFO`: the kernel makes its route to itself a little
/// later, when it gets to it (`addrconf_dad_work()` in Linux `net/ipv6/addrconf.c`).
pub(super) fn is_young(cache: &[u8]) -> bool {
    // `cstamp` of `struct ifa_cacheinfo`, in hundredths of seconds since the start (`cstamp_delta()`).
    const CREATED: usize = 8;
    let now = clock_gettime(ClockId::Monotonic);
    let now = now.tv_sec.wrapping_mul(100).wrapping_add(now.tv_nsec / 10_000_000);
    let Some(created) = u32_at(cache, CREATED).map(i64::from) else { return false };
    // It starts anew every 497 days, and may be a tick ahead.
    now.wrapping_sub(created).wrapping_add(100).rem_euclid(1 << 32) < 200
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_young_for_a_second() {
        let now = clock_gettime(ClockId::Monotonic);
        let hundredths = (now.tv_sec * 100 + now.tv_nsec / 10_000_000) as u32;
        let cache = |created: u32| [[0; 8].as_slice(), &created.to_ne_bytes()].concat();
        assert!(is_young(&cache(hundredths)));
        assert!(!is_young(&cache(hundredths.wrapping_sub(200))));
        assert!(!is_young(&[]));
    }

    #[test]
    fn what_a_link_is_told_of_ipv6_says_whether_it_speaks_it() {
        let nested = |kind: u16, value: &[u8]| {
            let length = (value.len() as u16 + 4).to_ne_bytes();
            [length.as_slice(), &kind.to_ne_bytes(), value].concat()
        };
        let spec = |disabled: i32| {
            let mut parameters = vec![0; 27 * 4];
            parameters[26 * 4..].copy_from_slice(&disabled.to_ne_bytes());
            nested(10, &nested(2, &parameters))
        };
        assert_eq!(speaks_ipv6(&spec(0)), Some(true));
        assert_eq!(speaks_ipv6(&spec(1)), Some(false));
        assert_eq!(speaks_ipv6(&nested(2, &[0; 8])), None);
        let forwarding = |on: i32| nested(2, &nested(1, &[on.to_ne_bytes(), [0; 4]].concat()));
        assert_eq!([0, 1].map(|on| forwards(&forwarding(on))), [Some(false), Some(true)]);
        assert_eq!(forwards(&[forwarding(1), spec(1)].concat()), Some(true));
        assert_eq!(forwards(&spec(0)), None);
        let link = |spec: &[u8]| [[0; 16].as_slice(), &nested(26, spec)].concat();
        let promotion =
            |on: i32| nested(2, &nested(1, &[[0; 19 * 4].as_slice(), &on.to_ne_bytes()].concat()));
        let promotes = |spec: &[u8]| promotes_secondaries(RTM_NEWLINK, &link(spec));
        assert_eq!([0, 1].map(|on| promotes(&promotion(on))), [Some(false), Some(true)]);
        assert_eq!(promotes(&spec(0)), None);
    }
}
