//! `ipv4` and `ipv6` of a network: of which families it has subnets, those from the pools included.

use super::fields::Fields;
use super::problem::Problem;
use super::report::Report;
use super::scalar;
use super::{At, Subnet};

/// Of which families a network has subnets, as written; what is not said follows from `subnets`, or from the pools.
///
/// ```yaml
/// ipv6: true
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Families {
    /// `ipv4`: whether it has an IPv4 subnet.
    pub ipv4: Option<At<bool>>,
    /// `ipv6`: whether it has an IPv6 subnet.
    pub ipv6: Option<At<bool>>,
}

impl Families {
    /// Returns what a network's node says, and checks it against the subnets that are given.
    pub(super) fn read(fields: Fields<'_>, subnets: &[At<Subnet>], report: &mut Report) -> Self {
        let mut flag = |key| fields.get(key).and_then(|entry| scalar::flag(entry, report));
        let families = Self { ipv4: flag("ipv4"), ipv6: flag("ipv6") };
        for (key, flag, is_it) in [
            ("ipv4", &families.ipv4, At::<Subnet>::is_ipv4 as fn(&At<Subnet>) -> bool),
            ("ipv6", &families.ipv6, At::<Subnet>::is_ipv6),
        ] {
            let given = subnets.iter().find(|subnet| is_it(subnet));
            if let (Some(At { value: false, place }), Some(given)) = (flag, given) {
                let cidr = given.value.cidr;
                let message = format!("the network has the subnet {cidr}, and yet `{key}: false`");
                report.add(
                    Problem::new("manifest::family_off", message, *place, "none of this family")
                        .and(given.place, "one of it")
                        .help(format!("leave out either `{key}: false` or the subnet")),
                );
            }
        }
        if let (Some(At { value: false, place }), true) = (&families.ipv4, subnets.is_empty())
            && families.ipv6.as_ref().is_none_or(|at| !at.value)
        {
            let message = "the network has neither IPv4 nor IPv6";
            report.add(
                Problem::new("manifest::no_family", message, *place, "no IPv4")
                    .help("write `ipv6: true`, too, for a network with IPv6 alone"),
            );
        }
        families
    }
}

impl At<Subnet> {
    fn is_ipv4(&self) -> bool {
        self.value.cidr.addr().is_ipv4()
    }

    fn is_ipv6(&self) -> bool {
        self.value.cidr.addr().is_ipv6()
    }
}
