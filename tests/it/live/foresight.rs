//! What a manifest leads to is worked out before the namespaces are read, from what the last apply led to.

use netform::apply::Dirs;
use netform::kernel::Scope;
use netform::kernel::facts::Survey;
use netform::kernel::foretelling::Foretelling;
use netform::kernel::live::Live;
use netform::names::ProjectName;
use netform::topology::facts::Facts;

use super::world::{World, eventually, live};

/// Enough containers to be worth it.
fn many() -> String {
    let containers = (0..12).map(|n| format!("  c{n}: {{networks: [front]}}\n")).collect::<String>();
    format!(
        "netform: 1\nproject: shop\nnetworks:\n  front: {{subnets: [172.25.0.0/24, 'fd00:1::/64']}}\ncontainers:\n  \
         web: {{networks: [front], publish: ['8080:80']}}\n{containers}"
    )
}

/// Returns what is foretold, and what is seen. Where the firewall takes too long, nothing is foretold.
fn foretold(world: &World) -> (Facts, Survey) {
    let project = ProjectName::try_from("shop").unwrap();
    let past = Dirs::new(&world.dir().join("state"), &world.dir().join("run"), &project).past().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut live = Live::new(project.clone());
    let scope = Scope::new(project);
    loop {
        let foretelling = Foretelling { applied: past.state(), work: Box::new(|facts| facts) };
        let seen = runtime.block_on(live.survey_foretelling(&scope, Some(foretelling))).unwrap();
        if let (survey, Some(facts)) = seen {
            return (facts, survey);
        }
    }
}

live! {
    fn what_is_foretold_is_what_is_seen_where_nobody_has_changed_anything(world) {
        world.apply(&many());
        let (facts, survey) = foretold(world);
        assert_eq!(facts, survey.facts);
        assert_eq!(facts.live.addresses.len(), 13);

        world.sh("ip link add br-other type bridge && ip addr add 10.88.0.1/24 dev br-other && ip link set br-other up");
        let (facts, survey) = foretold(world);
        assert_eq!(facts, survey.facts, "the host is read before");
        assert!(facts.routes.contains(&"10.88.0.0/24".parse().unwrap()));

        world.sh("ip -n c3 addr flush dev eth0");
        let (facts, survey) = foretold(world);
        assert_ne!(facts, survey.facts);
    }
}

live! {
    fn what_was_not_foreseen_is_planned_for_all_the_same(world) {
        world.apply(&many());
        for deed in ["ip -n c3 addr flush dev eth0", "ip -n c3 link del eth0", "ip netns del c3; sleep 0.3"] {
            let before = world.sh("ip -n c3 -br addr show eth0 | grep -o 172[0-9.]*");
            world.sh(deed);
            let (plan, changes) = world.plan();
            assert!(changes && plan.contains("c3"), "{deed}:\n{plan}");
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            assert_eq!(world.sh("ip -n c3 -br addr show eth0 | grep -o 172[0-9.]*"), before, "{deed}");
            assert!(world.pings("c3", "172.25.0.1"), "{deed}");
        }
    }
}

live! {
    fn who_comes_gets_an_address_that_nobody_has(world) {
        world.apply(&many());
        let held = |world: &World| world.sh("for n in web c0 c11; do ip -n $n -br addr show eth0; done | grep -o 172[0-9.]*");
        let before = held(world);
        world.apply(&format!("{}  a: {{networks: [front]}}\n", many()));
        assert_eq!(held(world), before);
        assert!(world.pings("a", "172.25.0.1"));
        let all = world.sh("for n in $(ip netns | cut -d' ' -f1); do ip -n $n -br addr show eth0; done | grep -o 172[0-9.]* | sort | uniq -d");
        assert_eq!(all, "");
    }
}

live! {
    fn what_was_seen_before_another_run_is_not_believed_after_it(world) {
        world.apply(&many());
        let lock = world.dir().join("run/shop/lock");
        let run = "sleep 0.5; ip link set netform.shop.c3.front mtu 1280";
        let mut other = world.beside(&format!("flock {} sh -c '{run}'", lock.display()));
        eventually("another run goes on", || world.try_sh("flock -n run/shop/lock true").code != 0);

        world.run(&["apply", "--yes", "--lock-timeout", "10s"]).exits(0);
        assert!(other.wait().unwrap().success());
        world.assert_in_sync();
        assert!(world.sh("ip link show netform.shop.c3.front").contains("mtu 1500"));
    }
}
