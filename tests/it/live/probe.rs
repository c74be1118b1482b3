//! What the kernel lacks is found out without making anything.

use netform::kernel::probe::{Part, has};

use super::private::{in_private_network, sh};

#[test]
fn a_part_of_the_kernel_is_asked_for_and_nothing_is_made_of_it() {
    in_private_network(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let told = |part| runtime.block_on(has(part));
        let before = sh("ip -d -o link; tc qdisc; tc qdisc show ingress");
        // Where iproute2 can make one, the kernel has it.
        let can =
            |script: &str| sh(&format!("{script} 2>&1 >/dev/null && echo yes || echo no")).trim() == "yes";
        for kind in ["macvlan", "ipvlan", "ifb", "dummy", "vlan"] {
            let how = match kind {
                "macvlan" | "ipvlan" | "vlan" => {
                    format!("ip link add b0 type bridge&& ip link add p0 link b0 type {kind}")
                }
                _ => format!("ip link add p0 type {kind}"),
            };
            let how = if kind == "vlan" { format!("{how} id 7") } else { how };
            let made = can(&how);
            sh("ip link del p0 2>/dev/null || true; ip link del b0 2>/dev/null || true");
            assert_eq!(told(Part::Link(kind)), made, "{kind}");
        }
        for (kind, how) in [
            ("tbf", "root tbf rate 1mbit burst 10k latency 50ms"),
            ("netem", "root netem delay 1ms"),
            ("ingress", "ingress"),
        ] {
            let made = can(&format!("tc qdisc add dev lo {how}"));
            sh(
                "tc qdisc del dev lo root 2>/dev/null || true; tc qdisc del dev lo ingress 2>/dev/null || true",
            );
            assert_eq!(told(Part::Qdisc(kind)), made, "{kind}");
        }
        assert!(!told(Part::Link("nosuchkind")) && !told(Part::Qdisc("nosuchkind")));
        assert_eq!(sh("ip -d -o link; tc qdisc; tc qdisc show ingress"), before);
    });
}
