use super::super::facts::Facts;
use super::{problems, topology};

#[test]
fn who_is_isolated_needs_a_bridge_and_has_no_link_to_another() {
    let told = |text: &str| problems(text, &Facts::default());
    insta::assert_snapshot!(told("net cable veth=c 10.7.0.0/24\nctr web @cable,isolated=y\nctr db @cable"), @r"
    topology::no_bridge: `web` cannot be `isolated` on network `cable`: it has no bridge
      isolated: nothing to keep it apart
      cable: it is a pair of two containers
      help: leave `isolated` out, or take one of them off it
    ");
    insta::assert_snapshot!(told("net front 10.7.0.0/24\nctr web @front,link=base:db,isolated=y\nctr db @front,isolated=y"), @r"
    topology::isolated_link: `web` links to `db` on network `front`, and both are `isolated` there
      base: this link
      isolated: kept apart from others that are
      isolated: as this one is
      help: leave `isolated` out for one of them, or the link
    ");
    insta::assert_snapshot!(told("net cable veth=c 10.7.0.0/24\nctr web @cable,hairpin=y\nctr db @cable"), @r"
    topology::no_bridge: `web` cannot be `hairpin` on network `cable`: it has no bridge
      hairpin: no port to switch
      cable: it is a pair of two containers
      help: leave `hairpin` out
    ");
    let topology = topology(
        "net front 10.7.0.0/24\nctr web @front,link=base:db,isolated=y\nctr db @front",
        &Facts::default(),
    );
    assert!(topology.attachment("web", "front").isolated && !topology.attachment("db", "front").isolated);
}
