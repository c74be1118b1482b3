//! The live kernel does what it is asked, says what it sees, and leaves others' things alone.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use netform::kernel::{FailureKind, Op};
use netform::names::Mtu;
use netform::resource::Resource;
use netform::resource::file::{FILE_MARK, FilePath, TextFile};
use netform::resource::link::LinkKind;
use netform::resource::netns::NsRef;
use netform::resource::state::{Entry, State};
use netform::resource::sysctl::{Family, Sysctl, SysctlKey};

use super::private::{
    World, address, bridge, ifname, in_private_network, in_private_network_without_privileges, link_of,
    named, netns, other, route, sh, veth,
};

/// One container on one network, with addresses and default routes of both families.
fn web_on_front() -> Vec<Vec<Entry>> {
    let (network, attachment) = ("network.front", "attachment.web@front");
    vec![
        vec![netns("web"), bridge("front")],
        vec![veth(1, "web", "front")],
        vec![
            address(NsRef::Host, "br-front", "10.7.0.1/24", network),
            address(NsRef::Host, "br-front", "fd00:7::1/64", network),
            address(named("web"), "eth0", "10.7.0.2/24", attachment),
            address(named("web"), "eth0", "fd00:7::2/64", attachment),
        ],
        vec![
            route(named("web"), "0.0.0.0/0", "10.7.0.1", 0, attachment),
            route(named("web"), "::/0", "fd00:7::1", 1024, attachment),
        ],
    ]
}

fn update(from: &Entry, to: &Entry) -> Op {
    Op::Update { from: from.clone(), to: to.clone() }
}

fn index_of(link: &str) -> String {
    sh(&format!("ip -o link show {link} | cut -d: -f1"))
}

#[test]
fn everything_that_is_made_is_seen_as_it_was_asked_for_and_goes_away_again() {
    in_private_network(|| {
        let mut world = World::new();
        let wanted = web_on_front();
        world.create(&wanted);

        assert_eq!(world.own(), wanted.iter().flatten().cloned().collect::<State>());
        sh("ip netns exec web ping -c1 -W2 10.7.0.1");
        sh("ip netns exec web ping -c1 -W2 fd00:7::1");
        assert!(sh("ip -n web addr show eth0").contains("brd 10.7.0.255"));
        assert!(sh("ip link show netform.shop.web.front").contains("netform:shop:attachment.web@front"));

        for wave in wanted.iter().rev() {
            world.succeed(&wave.iter().cloned().map(Op::Delete).collect::<Vec<_>>());
        }
        assert_eq!(world.own(), State::default());
        assert_eq!(sh("ip -o link").lines().count(), 1, "only lo is left");
        for wave in wanted.iter().rev() {
            world.succeed(&wave.iter().cloned().map(Op::Delete).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_link_changes_in_place_and_keeps_its_index() {
    in_private_network(|| {
        let mut world = World::new();
        world.create(&web_on_front());
        world.create(&[vec![bridge("back")]]);
        let index = index_of("v1");
        let from = veth(1, "web", "front");
        let mut to = from.clone();
        let link = link_of(&mut to);
        link.mtu = Mtu::try_from(1300).unwrap();
        link.master = Some(ifname("br-back"));
        link.altname = Some("netform.shop.renamed".into());
        link.protected = true;
        if let LinkKind::Veth(peer) = &mut link.kind {
            peer.mtu = Mtu::try_from(1300).unwrap();
            peer.mac.0[5] = 99;
        }
        let mut bridge_to = bridge("front");
        link_of(&mut bridge_to).mtu = Mtu::try_from(1450).unwrap();

        world.succeed(&[update(&from, &to), update(&bridge("front"), &bridge_to)]);

        let own = world.own();
        assert_eq!(own.get(&to.resource.id()), Some(&to));
        assert_eq!(own.get(&bridge_to.resource.id()), Some(&bridge_to));
        assert_eq!(index_of("v1"), index);
        let link = link_of(&mut to);
        (link.master, link.hairpin) = (None, false);
        let was = own.get(&to.resource.id()).cloned().unwrap();
        world.succeed(&[update(&was, &to)]);
        assert_eq!(world.own().get(&to.resource.id()), Some(&to));
    });
}

#[test]
fn what_others_change_behind_our_back_is_seen_and_put_right() {
    in_private_network(|| {
        let mut world = World::new();
        let wanted = web_on_front();
        world.create(&wanted);
        sh("ip link set v1 nomaster mtu 1280 down; ip -n web link set eth0 address 02:00:00:00:00:07 down");

        let own = world.own();

        let desired = veth(1, "web", "front");
        let mut drifted = desired.clone();
        let link = link_of(&mut drifted);
        (link.mtu, link.up, link.master, link.hairpin) = (Mtu::try_from(1280).unwrap(), false, None, false);
        if let LinkKind::Veth(peer) = &mut link.kind {
            (peer.mac.0, peer.up) = ([2, 0, 0, 0, 0, 7], false);
        }
        assert_eq!(own.get(&drifted.resource.id()), Some(&drifted));
        world.succeed(&[update(&drifted, &desired)]);
        let own = world.own();
        assert_eq!(own.get(&desired.resource.id()), Some(&desired));
        // What the kernel flushed with the link is missed, so that the plan puts it back.
        let lost = wanted.iter().flatten().filter(|entry| own.get(&entry.resource.id()).is_none());
        world.create(&[lost.cloned().collect()]);
        assert_eq!(world.own(), wanted.into_iter().flatten().collect::<State>());
    });
}

#[test]
fn what_is_not_ours_is_named_and_left_alone() {
    in_private_network(|| {
        let mut world = World::new();
        world.create(&web_on_front());
        World::of_project("blog").create(&[vec![bridge("blog"), netns("posts")]]);
        sh("ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up
            ip link add tap7 type veth peer name tap8; ip netns add theirs; touch /run/netns/stale
            ip addr add 10.7.0.9/24 dev br-front
            ip -n web route add 10.99.0.0/16 via 10.7.0.1
            ip -n web link add veth7 type veth peer name veth8");

        insta::assert_debug_snapshot!(world.foreign(), @r#"
        {
            "address 10.7.0.9/24 on br-front": "? on network.front",
            "bridge br-blog": "project blog",
            "bridge docker0": "Docker",
            "file /run/netns/stale, which a namespace left behind": "?",
            "namespace posts": "project blog",
            "namespace theirs": "?",
            "route 10.99.0.0/16 via 10.7.0.1 on eth0": "? on attachment.web@front",
            "veth tap7": "?",
            "veth tap8": "?",
            "veth veth7": "?",
            "veth veth8": "?",
        }
        "#);
        let facts = world.facts();
        assert_eq!(format!("{:?}", facts.subnets), r#"{172.17.0.0/16: "Docker"}"#);
        assert_eq!(format!("{:?}", facts.routes), "{172.17.0.0/16}");
        assert_eq!(facts.interfaces.len(), 1);
        assert_eq!(facts.bridges.keys().map(ToString::to_string).collect::<Vec<_>>(), ["br-blog", "docker0"]);
        assert_eq!(facts.live.addresses.len(), 1);
        assert_eq!(world.own().len(), web_on_front().iter().flatten().count());
    });
}

#[test]
fn a_refusal_is_in_the_kernels_words_and_leaves_nothing_behind() {
    in_private_network(|| {
        let mut world = World::new();
        world.create(&web_on_front());
        let say = |error: netform::kernel::OpError| format!("{:?}: {error}", error.kind);
        sh(
            "ip link add br-back type bridge; ip link add tap7 type bridge; ip link property add dev tap7 altname netform.shop.taken",
        );

        let mut mistakes = vec![
            say(world.fail(Op::Create(netns("web")))),
            say(world.fail(Op::Create(bridge("back")))),
            say(world.fail(Op::Create(bridge("taken")))),
            say(world.fail(Op::Create(veth(2, "web", "missing")))),
            say(world.fail(Op::Create(veth(2, "missing", "front")))),
            say(world.fail(Op::Create(veth(2, "web", "front")))),
            say(world.fail(Op::Create(address(NsRef::Host, "br-front", "10.7.0.1/24", "network.front")))),
            say(world.fail(Op::Create(route(
                named("web"),
                "0.0.0.0/0",
                "10.7.0.1",
                0,
                "attachment.web@front",
            )))),
            say(world.fail(Op::Create(route(
                named("web"),
                "10.0.0.0/8",
                "9.9.9.9",
                0,
                "attachment.web@front",
            )))),
        ];
        sh("sysctl -qw net.ipv6.conf.tap7.disable_ipv6=1");
        mistakes.push(say(world.fail(Op::Create(address(
            NsRef::Host,
            "tap7",
            "fd00:9::1/64",
            "network.front",
        )))));

        insta::assert_snapshot!(mistakes.join("\n"), @r"
        Other: File exists (os error 17)
        Other: File exists (os error 17)
        Other: File exists (os error 17)
        Other: link br-missing: No such device (os error 19)
        Other: cannot enter namespace missing: No such file or directory (os error 2)
        Other: File exists (os error 17)
        Other: ipv4: Address already assigned: File exists (os error 17)
        Other: File exists (os error 17)
        Other: Nexthop has invalid gateway: Network is unreachable (os error 101)
        Missing: ipv6: IPv6 is disabled on this device: Permission denied (os error 13)
        ");
        assert!(!sh("ip link").contains("br-taken"), "what could not be marked is removed again");
        assert_eq!(world.own().len(), web_on_front().iter().flatten().count());
    });
}

#[test]
fn missing_privileges_are_told_from_other_failures() {
    in_private_network_without_privileges(|| {
        let mut world = World::new();

        assert_eq!(world.fail(Op::Create(netns("web"))).kind, FailureKind::Privilege);
        let refused = world.fail(Op::Create(bridge("front")));

        assert_eq!(refused.kind, FailureKind::Privilege);
        assert_eq!(refused.message, "Operation not permitted (os error 1)");
    });
}

#[test]
fn parameters_and_files_are_written_where_they_belong() {
    in_private_network(|| {
        let mut world = World::new();
        world.create(&web_on_front());
        let key =
            SysctlKey::PerLink { family: Family::Ipv4, link: ifname("eth0"), name: "arp_notify".into() };
        let sysctl = |value: &str| {
            other(Resource::Sysctl(Sysctl { ns: named("web"), key: key.clone(), value: value.into() }))
        };
        sh("mount -t tmpfs none /etc");
        let path = FilePath::from(Path::new("/etc/netns/web/hosts"));
        let file = |text: &str| {
            let content = format!("{FILE_MARK}netform:shop:project\n{text}\n");
            other(Resource::File(TextFile::new(path.clone(), content.into())))
        };
        world.scope.sysctls.insert((named("web"), key.clone()));
        world.scope.files.insert(path.clone());

        world.succeed(&[update(&sysctl("0"), &sysctl("1")), Op::Create(file("10.7.0.2 a-rather-long-name"))]);
        let inode = std::fs::metadata(&path).unwrap().ino();
        world.succeed(&[update(&file("10.7.0.2 a-rather-long-name"), &file("10.7.0.3 web"))]);

        let own = world.own();
        assert_eq!(own.get(&sysctl("1").resource.id()), Some(&sysctl("1")));
        assert_eq!(own.get(&file("").resource.id()), Some(&file("10.7.0.3 web")));
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
        assert_eq!(world.fail(Op::Create(file("again"))).message, "File exists (os error 17)");
        world.succeed(&[Op::Delete(file("10.7.0.3 web"))]);
        assert!(!path.ancestors().nth(2).unwrap().exists(), "/etc/netns itself was made for it");
        sh("mkdir -p /etc/netns/db");
        world.succeed(&[Op::Create(file("10.7.0.2 web"))]);
        world.succeed(&[Op::Delete(file("10.7.0.2 web"))]);
        assert_eq!(sh("ls /etc/netns"), "db\n", "what others have there stays");
    });
}

#[test]
fn who_enters_a_container_sees_its_network_and_its_names() {
    in_private_network(|| {
        let mut world = World::new();
        world.create(&web_on_front());
        sh("mount -t tmpfs none /etc && mkdir -p /etc/netns/web
            echo outside > /etc/hosts && echo inside > /etc/netns/web/hosts && echo unused > /etc/netns/web/resolv.conf");

        // What a thread enters, the programs that it starts are in.
        let seen = std::thread::spawn(|| {
            netform::kernel::netns::enter(&named("web"), &[]).unwrap();
            sh("cat /etc/hosts; ip -o addr show eth0 | grep -o 10.7.0.2/24; ls /sys/class/net")
        });

        assert_eq!(seen.join().unwrap(), "inside\n10.7.0.2/24\neth0\nlo\n");
        assert_eq!(sh("cat /etc/hosts"), "outside\n");
    });
}

#[test]
fn what_others_put_into_the_group_of_our_links_stays() {
    in_private_network(|| {
        let mut world = World::new();
        let containers = ["a", "b", "c"];
        let namespaces: Vec<_> = containers.into_iter().map(netns).chain([bridge("front")]).collect();
        world.create(&[
            namespaces.clone(),
            (1..).zip(containers).map(|(number, name)| veth(number, name, "front")).collect(),
        ]);
        let group = |link: &str| sh(&format!("ip link show {link} | grep -o 'group [0-9]*'"));
        assert_eq!(group("br-front"), group("v1"), "all of a project are in one group");
        sh(&format!("ip link add mine type bridge && ip link set mine {}", group("v1")));

        let gone: Vec<_> = namespaces.into_iter().map(Op::Delete).collect();
        world.succeed(&gone);

        assert_eq!(world.own(), State::default());
        assert_eq!(sh("ip -o link | grep -o ': [a-z0-9-]*:'"), ": lo:\n: mine:\n");
    });
}

#[test]
fn what_others_keep_changing_is_read_all_the_same() {
    in_private_network(|| {
        let mut world = World::new();
        world.create(&web_on_front());
        // So many that the kernel cannot list them in one go.
        sh("ip link add mine type bridge
            for i in $(seq 900); do echo addr add 10.9.$((i / 200)).$((i % 200))/32 dev mine; done | ip -batch -
            for i in $(seq 400); do echo addr add 10.8.0.9/32 dev mine; echo addr del 10.8.0.9/32 dev mine; done > /run/churn");
        let churn = "for round in $(seq 20); do ip -batch /run/churn; done";
        let mut other = std::process::Command::new("sh").args(["-ec", churn]).spawn().unwrap();

        let mut looks = 0;
        while other.try_wait().unwrap().is_none() {
            assert_eq!(world.own().len(), web_on_front().iter().flatten().count(), "look {looks}");
            looks += 1;
        }
        assert!(looks > 0);
    });
}

#[test]
fn many_containers_fit_into_few_file_descriptors() {
    in_private_network(|| {
        use rustix::process::{Resource as Limit, Rlimit, setrlimit};
        setrlimit(Limit::Nofile, Rlimit { current: Some(300), maximum: Some(300) }).unwrap();
        let mut world = World::new();
        let names: Vec<_> = (1..=200_u8).map(|number| (number, format!("c{number}"))).collect();
        let attachment = |name: &str| format!("attachment.{name}@front");
        let wanted = vec![
            names.iter().map(|(_, name)| netns(name)).chain([bridge("front")]).collect::<Vec<_>>(),
            names.iter().map(|(number, name)| veth(*number, name, "front")).collect(),
            names
                .iter()
                .map(|(number, name)| {
                    address(named(name), "eth0", &format!("10.7.0.{number}/24"), &attachment(name))
                })
                .collect(),
        ];

        world.create(&wanted);
        let own = world.own();
        let gone: Vec<_> = wanted[0].iter().cloned().map(Op::Delete).collect();
        world.succeed(&gone);

        assert_eq!(own, wanted.into_iter().flatten().collect::<State>());
        assert_eq!(world.own(), State::default(), "the pairs went with their namespaces");
    });
}

#[test]
fn a_port_of_a_bridge_has_no_address_of_its_own_and_works_where_there_is_no_ipv6_for_it() {
    in_private_network(|| {
        let mut world = World::new();
        let small = |mut entry: Entry| {
            if let Resource::Link(link) = &mut entry.resource {
                link.mtu = Mtu::try_from(1279).unwrap();
                if let LinkKind::Veth(peer) = &mut link.kind {
                    peer.mtu = link.mtu;
                }
            }
            entry
        };
        world.create(&web_on_front());
        world.create(&[vec![netns("db"), small(bridge("back"))], vec![small(veth(2, "db", "back"))]]);

        sh("ip netns exec web ping -c1 -W2 fd00:7::1");
        let addresses = sh("ip -6 -o addr");
        assert!(addresses.contains(": br-front ") && !addresses.contains(": v"), "{addresses}");
        assert!(sh("ip -n web -6 addr show eth0").contains("fe80::"), "it is the other end that has one");
        assert!(sh("ip -o link show type veth").lines().all(|link| link.contains("state UP")));
    });
}
