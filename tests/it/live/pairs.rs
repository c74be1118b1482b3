//! From any manifest to any other: what is left is what the other alone would have made.

use std::fmt::Write as _;

use super::snapshot::{assert_same, everything};
use super::world::{World, live};

/// How many times a manifest follows another, in each test.
const PAIRS: u64 = 50;

/// Numbers that are the same on every run: the constants of Knuth's MMIX generator (TAOCP volume 2, section 3.3.4).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

/// Some networks, some containers on them, some ports. Every address is given, since a free one depends on the past.
fn manifest(chance: &mut Chance) -> String {
    let mut text = "netform: 1\nproject: shop\nnetworks:\n".to_owned();
    let mut networks = vec![];
    for number in 0..4 {
        if chance.below(3) == 0 {
            continue;
        }
        let more = chance.one_of(&[
            "",
            "internal: true",
            "icc: false",
            "mtu: 1400",
            "egress: routed",
            "ingress: open",
        ]);
        let network = Network { number, v6: chance.below(2) > 0, internal: more.starts_with("internal") };
        let v6 = if network.v6 { format!(", 'fd00:{number}::/64'") } else { String::new() };
        let _ = writeln!(
            text,
            "  net{number}: {{subnets: [10.{number}.0.0/24{v6}], interface: br{number}, {more}}}"
        );
        networks.push(network);
    }
    if networks.is_empty() {
        text = text.replace("networks:\n", "");
    }
    text.push_str("containers:\n");
    for c in 0..4 {
        container(&mut text, c, &networks, chance);
    }
    text
}

/// A network of the manifest.
struct Network {
    number: u64,
    v6: bool,
    internal: bool,
}

fn container(text: &mut String, c: u64, networks: &[Network], chance: &mut Chance) {
    let on: Vec<_> = networks.iter().filter(|_| chance.below(2) > 0).collect();
    if on.is_empty() {
        let _ = writeln!(text, "  c{c}: {{mode: none}}");
        return;
    }
    let _ = writeln!(text, "  c{c}:\n    networks:");
    for Network { number, v6, internal: _ } in &on {
        let host = 10 + c * 10 + chance.below(2);
        let v6 = if *v6 { format!(", 'fd00:{number}::{host}'") } else { String::new() };
        let alias = chance.one_of(&["", ", aliases: [app]"]);
        let _ = writeln!(text, "      net{number}: {{address: [10.{number}.0.{host}{v6}]{alias}}}");
    }
    if chance.below(2) > 0 && on.iter().any(|network| !network.internal) {
        let port = 8000 + c;
        let long = chance.one_of(&[
            "\"PORT:80\"",
            "\"127.0.0.1:PORT:80/udp\"",
            "{host_port: PORT, target_port: 80, allow_from: [198.51.100.0/24]}",
        ]);
        let _ = writeln!(text, "    publish: [{}]", long.replace("PORT", &port.to_string()));
    }
}

fn apply(world: &World) {
    world.run(&["apply", "--yes", "--max-destroy", "999"]).exits(0);
}

fn follow_each_other(world: &World, seed: u64) {
    let mut chance = Chance(seed);
    for pair in 0..PAIRS {
        let manifest = manifest(&mut chance);
        world.file("netform.yaml", &manifest);
        apply(world);
        let after = everything(world);

        world.run(&["destroy", "--yes"]).exits(0);
        world.sh("rm -rf state");
        apply(world);

        assert_same(&after, &everything(world), &format!("pair {pair}:\n{manifest}"));
    }
}

live! {
    fn one_manifest_after_another_leaves_what_the_other_alone_makes(world) {
        follow_each_other(world, 2026);
    }
}

live! {
    fn one_more_manifest_after_yet_another_leaves_what_the_other_alone_makes(world) {
        follow_each_other(world, 6202);
    }
}
