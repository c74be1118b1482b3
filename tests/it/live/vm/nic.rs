//! NICs in containers that die: the kernel moves them to the first namespace, which only a machine of its own has.

use super::super::daemon::{Daemon, patiently};
use super::super::world::{World, in_a_machine_of_its_own};

/// Names the machine's two NICs, which a cable joins, and gives the second to a neighbour.
fn wired(world: &World) {
    world.sh("for link in $(ls /sys/class/net); do
           case $(cat /sys/class/net/$link/address) in
             52:54:00:00:00:01) ip link set $link down; ip link set $link name nic0 ;;
             52:54:00:00:00:02) ip link set $link down; ip link set $link name nic1 ;;
           esac
         done
         ip netns add peer; ip link set nic1 netns peer; ip -n peer link set nic1 up
         ip -n peer addr add 192.168.9.1/24 dev nic1; ip -n peer addr add fd00:9::1/64 dev nic1 nodad
         ip link set nic0 alias 'uplink to rack 4' mtu 1450 up; ip link property add dev nic0 altname enp5s0
         ip addr add 192.168.9.5/24 brd + dev nic0; ip addr add fd00:9::5/64 dev nic0 nodad
         ip route add 10.200.0.0/16 via 192.168.9.1 metric 7");
}

fn nic0(world: &World) -> String {
    world.sh("ip -d link show nic0 | sed 's/^[0-9]*: //; s/state [A-Z]*//'; ip addr show nic0 | grep inet | grep -v fe80 | sort
         ip route show dev nic0; ip -6 route show dev nic0 | grep -v fe80")
}

const LAB: &str = "netform: 1
project: lab
networks:
  lab: {driver: physical, subnets: [192.168.9.0/24, 'fd00:9::/64']}
  back: {subnets: [10.5.0.0/24]}
containers:
  web: {networks: {lab: {device: nic0, address: [192.168.9.10, 'fd00:9::10']}, back: }}
";

#[test]
fn a_nic_survives_the_containers_that_have_it() {
    in_a_machine_of_its_own(module_path!(), "a_nic_survives_the_containers_that_have_it", story);
}

fn story(world: &World) {
    wired(world);
    let before = nic0(world);
    let reaches = || world.pings("web", "192.168.9.1") && world.pings("web", "fd00:9::1");
    world.apply(LAB);
    world.assert_in_sync();
    assert!(reaches());

    // It comes out as `eth0`, as some `dev7` where that is taken, or under its own name.
    for (prepare, tidy) in [
        ("true", "true"),
        ("ip link add eth0 type dummy", "ip link del eth0"),
        ("ip -n web link set eth0 down; ip -n web link set eth0 name nic0", "true"),
    ] {
        world.sh(prepare);
        world.sh("ip netns del web");
        patiently(&|| world.sh("ip link"), || world.sh("ip link").contains("netform=nic0="));
        let (plan, _) = world.plan();
        assert!(plan.contains("attachment.web@lab"), "{plan}");
        world.run(&["apply", "--yes", "--max-destroy", "9"]).exits(0);
        world.assert_in_sync();
        assert!(reaches(), "{prepare}");
        world.sh(tidy);
    }
    world.run(&["destroy", "--yes"]).exits(0);
    assert_eq!(nic0(world), before);

    // A container of somebody else's: while it is away, the host has its NIC as it was.
    let theirs = LAB.replace("web: {networks", "web: {netns: theirs, networks");
    world.sh("ip netns add theirs");
    world.file("netform.yaml", &theirs);
    let daemon = Daemon::start(world, &[]);
    let is_there = || world.try_sh("ip netns exec theirs ping -c1 -W1 192.168.9.1 -I eth0").code == 0;
    patiently(&|| daemon.log(), is_there);
    world.sh("ip link add eth0 type dummy; ip netns del theirs");
    let is_back = || world.try_sh("ip link show nic0").code == 0 && nic0(world) == before;
    patiently(&|| format!("{}{}", world.sh("ip link"), daemon.log()), is_back);
    world.sh("ip netns add theirs; ip -n theirs link set lo up");
    patiently(&|| daemon.log(), is_there);
    // One that netform makes comes back with it.
    world.file("netform.yaml", LAB);
    patiently(&|| daemon.log(), || {
        world.try_sh("ip netns exec web ping -c1 -W1 192.168.9.1 -I eth0").code == 0
    });
    world.sh("ip netns del web");
    patiently(&|| daemon.log(), || {
        world.try_sh("ip netns exec web ping -c1 -W1 192.168.9.1 -I eth0").code == 0
    });
    drop(daemon);
    world.run(&["destroy", "--yes"]).exits(0);
    assert_eq!(nic0(world), before);
    world.sh("ip link del eth0; ip netns del peer; ip netns del theirs");
}
