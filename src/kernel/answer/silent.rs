//! Whether a link speaks IPv6, and how old an address is.

use rustix::time::{ClockId, clock_gettime};

use super::{each, u32_at};

/// Reads whether a link speaks IPv6, of `IFLA_AF_SPEC`: `disable_ipv6` is among the parameters that the kernel tells with
/// every link (`AF_INET6`, `IFLA_INET6_CONF` and `DEVCONF_DISABLE_IPV6`, `inet6_fill_ifla6_attrs()` in Linux
/// `net/ipv6/addrconf.c`).
pub(super) fn speaks_ipv6(spec: &[u8]) -> Option<bool> {
    const AF_INET6: u16 = 10;
    const IFLA_INET6_CONF: u16 = 2;
    const DISABLE_IPV6: usize = 26;
    let mut speaks = None;
    each(spec, |family, value| {
        if family == AF_INET6 {
            each(value, |kind, parameters| {
                if kind == IFLA_INET6_CONF {
                    speaks = u32_at(parameters, DISABLE_IPV6 * 4).map(|disabled| disabled == 0);
                }
            });
        }
    });
    speaks
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
    }
}
