//! What tells this host from all others.

use std::fs;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use sha2::{Digest, Sha256};

/// Returns the host's own range of private IPv6 addresses: `fd`, and 40 bits that no other host is likely to have (RFC 4193
/// section 3.2). `None` when nothing tells this host from others.
///
/// They are a digest of the machine's id, which is not to be told to anybody as it is (machine-id(5)), or else of the host's
/// name.
pub(super) fn own_range() -> Option<Ipv6Net> {
    let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let is_id = |id: &String| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = Some(read("/etc/machine-id")).filter(is_id);
    let id = id.unwrap_or_else(|| read("/proc/sys/kernel/hostname"));
    (!id.is_empty()).then(|| range_of(&id))?
}

fn range_of(id: &str) -> Option<Ipv6Net> {
    let digest = Sha256::new().chain_update("netform's IPv6 subnets on ").chain_update(id).finalize();
    let mut octets = [0; 16];
    for (octet, byte) in octets.iter_mut().zip([0xfd].iter().chain(&digest)).take(6) {
        *octet = *byte;
    }
    Ipv6Net::new(Ipv6Addr::from(octets), 48).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_a_range_of_its_own_and_keeps_it() {
        let range = range_of("0123456789abcdef0123456789abcdef").unwrap();

        assert_eq!(range.to_string(), "fd38:bb09:b30f::/48");
        assert_ne!(range_of("1123456789abcdef0123456789abcdef").unwrap(), range);
    }
}
