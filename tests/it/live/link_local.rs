//! The addresses that links have of their own, by their link-layer addresses.

use super::daemon::patiently;
use super::world::{World, live};

fn shop(web: &str, db: &str) -> String {
    format!(
        "netform: 1
project: shop
networks: {{front: {{subnets: [172.25.0.0/24, 'fd00:1::/64']}}}}
containers:
  web: {{networks: {{front: {{address: [{web}, 'fd00:1::{}']}}}}}}
  db: {{networks: {{front: {{address: [{db}, 'fd00:1::{}']}}}}}}
",
        web.rsplit('.').next().unwrap(),
        db.rsplit('.').next().unwrap(),
    )
}

/// The link-local addresses of a container, once they are nobody else's for sure.
#[track_caller]
fn own(world: &World, ns: &str) -> String {
    let read = || world.sh(&format!("ip -n {ns} -6 -o addr show dev eth0 scope link"));
    patiently(&read, || !read().contains("tentative") || read().contains("dadfailed"));
    let all = read();
    assert!(!all.contains("dadfailed"), "{all}");
    all.lines().map(|line| line.split_whitespace().nth(3).unwrap()).collect::<Vec<_>>().join(" ")
}

live! {
    fn a_link_local_address_goes_with_the_address_that_it_is_made_of(world) {
        world.apply(&shop("172.25.0.7", "172.25.0.8"));
        let of = |last: u8| format!("fe80::42:acff:fe19:{last:x}/64");
        assert_eq!(own(world, "web"), of(7));

        world.apply(&shop("172.25.0.9", "172.25.0.8"));
        assert_eq!(own(world, "web"), of(9));
        world.apply(&shop("172.25.0.9", "172.25.0.7"));
        assert_eq!((own(world, "web"), own(world, "db")), (of(9), of(7)), "it was free");
        assert!(world.pings("web", "fe80::42:acff:fe19:7%eth0"));
        world.assert_in_sync();

        world.run(&["rollback", "--yes"]).exits(0);
        assert_eq!((own(world, "web"), own(world, "db")), (of(9), of(8)));
        // Who makes none, has none.
        world.sh("ip netns exec web sysctl -qw net.ipv6.conf.eth0.addr_gen_mode=1; ip -n web addr flush dev eth0 scope link");
        world.apply(&shop("172.25.0.10", "172.25.0.8"));
        assert_eq!(own(world, "web"), "");
        world.sh("ip -n db link set eth0 down");
        world.apply(&shop("172.25.0.10", "172.25.0.11"));
        assert_eq!(own(world, "db"), of(11));
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn two_that_swap_their_addresses_swap_those_of_their_own_too(world) {
        let of = |last: u8| format!("fe80::42:acff:fe19:{last:x}/64");
        world.apply(&shop("172.25.0.7", "172.25.0.8"));
        assert_eq!((own(world, "web"), own(world, "db")), (of(7), of(8)));
        for [web, db] in [[8, 7], [7, 8]] {
            world.apply(&shop(&format!("172.25.0.{web}"), &format!("172.25.0.{db}")));
            // Whoever asked whether they are free while both are on their way might hear that they are not.
            assert_eq!(world.sh("for ns in web db; do ip -n $ns -6 addr show tentative; done"), "");
            assert_eq!((own(world, "web"), own(world, "db")), (of(web), of(db)));
            assert!(world.pings("web", &format!("fe80::42:acff:fe19:{db:x}%eth0")));
        }
        world.assert_in_sync();
    }
}

live! {
    fn a_run_that_is_killed_between_the_two_addresses_is_finished_or_undone_by_the_next(world) {
        let of = |last: u8| format!("fe80::42:acff:fe19:{last:x}/64");
        let (old, new) = (shop("172.25.0.7", "172.25.0.8"), shop("172.25.0.9", "172.25.0.8"));
        let both = "ip -n web addr add fe80::42:acff:fe19:7/64 dev eth0 nodad";
        let former = format!("{both}; ip -n web addr del fe80::42:acff:fe19:9/64 dev eth0");
        for between in [both, former.as_str()] {
            world.apply(&old);
            assert_eq!(own(world, "web"), of(7));
            // It has come to its end but for what is written down, and for what is to be as it was in between.
            world.sh("mount --bind state/shop/leases.json state/shop/leases.json");
            world.file("netform.yaml", &new);
            world.run(&["apply", "--yes"]);
            assert!(world.dir().join("run/shop/journal").exists());
            assert_eq!(own(world, "web"), of(9));
            world.sh(&format!("{between}; umount state/shop/leases.json"));

            let done = world.run(&["apply", "--yes"]).exits(0);

            assert!(!world.dir().join("run/shop/journal").exists(), "{}", done.stderr);
            assert_eq!(own(world, "web"), of(9), "{between}");
            world.assert_in_sync();
        }
    }
}
