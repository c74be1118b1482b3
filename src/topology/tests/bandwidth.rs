use super::super::facts::Facts;
use super::{problems, topology};

#[test]
fn limits_are_buckets_for_packets_of_the_network() {
    let topology = topology(
        "net front 10.7.0.0/24\nnet wide 10.8.0.0/24 mtu=9000\nctr web @front,bw=10000/5000 @wide,bw=10000/",
        &Facts::default(),
    );

    let bandwidth = topology.attachment("web", "front").bandwidth.clone().unwrap();
    assert_eq!(bandwidth.ingress.unwrap().to_string(), "10mbit, burst 12500b, queue 75000b");
    let (bucket, detour) = bandwidth.egress.unwrap();
    assert_eq!(bucket.to_string(), "5mbit, burst 6250b, queue 37500b");
    assert_ne!(Some(detour), topology.attachment("web", "front").port);
    let bandwidth = topology.attachment("web", "wide").bandwidth.clone().unwrap();
    assert_eq!(bandwidth.ingress.unwrap().to_string(), "10mbit, burst 18036b, queue 80536b");
    assert_eq!(bandwidth.egress, None);
}

#[test]
fn a_limit_needs_an_end_on_the_host_and_room_for_a_packet() {
    let told = |text: &str| problems(text, &Facts::default());
    insta::assert_snapshot!(told("net cable veth=c 10.7.0.0/24\nctr web @cable,bw=10000/\nctr db @cable"), @r"
    topology::no_host_end: `web` cannot have a `bandwidth` on network `cable`: the host has no end of its link
      bw: nothing to limit it by
      cable: it joins two containers
      help: leave `bandwidth` out, or join the host and one container by `options: {host: true}`
    ");
    insta::assert_snapshot!(told("net front 10.7.0.0/24\nctr web @front,bw=10000/5000/1500"), @r"
    topology::narrow_bandwidth: a burst of 1500 bytes holds no packet of network `front`
      1500: all larger packets would be lost
      front: its packets have up to 1500 bytes
      help: write 1518b or more, or leave it out
    ");
    insta::assert_snapshot!(told("net front 10.7.0.0/24 mtu=9000\nctr web @front,bw=8/"), @r"
    topology::narrow_bandwidth: at 8kbit a packet of network `front` takes more than 4 seconds
      8: slower than the kernel counts
      front: its packets have up to 9000 bytes
      help: choose a higher rate, or a smaller `mtu` for the network
    ");
    insta::assert_snapshot!(told("net front 10.7.0.0/24\nctr web @front,bw=64//40000"), @r"
    topology::narrow_bandwidth: a burst of 40000 bytes is more than the kernel counts at 64kbit
      40000: more than 4 seconds' worth
      front: its packets have up to 1500 bytes
      help: write 34359b or less, or leave it out
    ");
}
