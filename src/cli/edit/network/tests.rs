use clap::Parser;
use serde_yaml::Value;

use super::super::super::args::{Cli, EditVerb, NetworkVerb, Verb};
use super::*;
use crate::manifest::edit::one_line;

fn verb(line: &str) -> NetworkVerb {
    let words = ["netform", "network"].into_iter().chain(line.split(' '));
    let Verb::Edit(EditVerb::Network { verb }) = Cli::try_parse_from(words).unwrap().verb else {
        panic!("{line}")
    };
    verb
}

/// Returns what the manifest says of the network that a command line creates.
fn created(line: &str) -> Result<String, String> {
    let NetworkVerb::Create(wish) = verb(&format!("create net {line}")) else { panic!("{line}") };
    wish::new_network(&wish).map(|value| one_line(&value)).map_err(|failure| failure.message)
}

/// Returns what the manifest says of `web` after a command line.
fn connected(before: &str, line: &str) -> Result<String, String> {
    let mut whole: Value = serde_yaml::from_str(before).unwrap();
    match verb(line) {
        NetworkVerb::Connect(wish) => wish::connect(&mut whole, &wish),
        NetworkVerb::Disconnect(wish) => wish::disconnect(&mut whole, &wish.network, &wish.container),
        NetworkVerb::Create(_) | NetworkVerb::Rm(_) | NetworkVerb::Ls(_) | NetworkVerb::Inspect(_) => {
            panic!("{line}")
        }
    }
    .map_err(|failure| failure.message)?;
    Ok(one_line(&whole["containers"]["web"]))
}

#[test]
fn dockers_flags_are_keys_of_the_manifest() {
    let check = |line: &str, want: &str| assert_eq!(created(line).unwrap(), want, "{line}");
    check("--driver bridge", "{}");
    check("--subnet 10.7.0.0/24 --subnet fd00:7::/64", "{subnets: [10.7.0.0/24, fd00:7::/64]}");
    check(
        "--subnet 10.7.0.0/24 --subnet fd00:7::/64 --gateway 10.7.0.9 --ip-range 10.7.0.128/25 --aux-address nas=10.7.0.5 --internal",
        "{subnets: [{cidr: 10.7.0.0/24, gateway: 10.7.0.9, pool: 10.7.0.128/25, reserve: {nas: 10.7.0.5}}, fd00:7::/64], internal: true}",
    );
    check(
        "-d macvlan -o parent=eth0 -o macvlan_mode=vepa --subnet 10.7.0.0/24",
        "{driver: macvlan, subnets: [10.7.0.0/24], options: {parent: eth0, mode: vepa}}",
    );
    check(
        "-d ipvlan -o parent=eth0 -o ipvlan_mode=l3 -o ipvlan_flag=vepa --subnet 10.7.0.0/24",
        "{driver: ipvlan, subnets: [10.7.0.0/24], options: {parent: eth0, mode: l3, flag: vepa}}",
    );
    check(
        "-o com.docker.network.driver.mtu=1400 -o com.docker.network.bridge.name=br-x -o com.docker.network.bridge.enable_icc=false",
        "{mtu: 1400, interface: br-x, icc: false}",
    );
    check(
        "-d macvlan -o parent=eth0 -o host_address=10.7.0.9 -o dns.ttl=30 --subnet 10.7.0.0/24",
        "{driver: macvlan, subnets: [10.7.0.0/24], options: {parent: eth0, host_address: 10.7.0.9}, dns: {ttl: 30}}",
    );
    check(
        "-o stp=1 -o egress.snat=[203.0.113.7] -o ingress=none",
        "{options: {stp: true}, egress: {snat: [203.0.113.7]}, ingress: none}",
    );
    assert_eq!(created("-o mtu=1400 -o dns.ttl=1 -o dns.ttl=2").unwrap_err(), "`dns.ttl` is there twice");
    assert_eq!(created("--gateway 10.7.0.1").unwrap_err(), "no --subnet holds 10.7.0.1 of --gateway");
    assert_eq!(
        created("--subnet 10.7.0.0/24 --gateway 10.7.0.1 --gateway 10.7.0.2").unwrap_err(),
        "a subnet has one gateway, and 10.7.0.2 is another"
    );
    assert_eq!(
        created("-o com.docker.x=1").unwrap_err(),
        "netform has nothing for the option `com.docker.x`"
    );
}

#[test]
fn a_container_comes_to_a_network_and_stays_where_it_was() {
    let check = |before: &str, line: &str, want: &str| assert_eq!(connected(before, line).unwrap(), want);
    check("containers: {web: {networks: [a]}}", "connect b web", "{networks: [a, b]}");
    check("containers: {web: {networks: {a: {}}}}", "connect b web", "{networks: {a: {}, b: {}}}");
    check("containers: {web: {}}", "connect b web", "{networks: [default, b]}");
    check("containers: {web: {mode: none}}", "connect b web", "{networks: [b]}");
    check("containers: {}", "connect --create b web", "{networks: [b]}");
    check(
        "containers: {web: {networks: [a]}}",
        "connect --ip 10.7.0.9 --ip6 fd00::9 --alias app --link db:database --link cache --gw-priority -1 b web",
        "{networks: {a: {}, b: {address: [10.7.0.9, fd00::9], aliases: [app], links: {database: db, cache: cache}, gateway_priority: -1}}}",
    );
    check(
        "containers: {web: {networks: [a]}}",
        "connect --driver-opt device=eth2 --driver-opt bandwidth.egress=5mbit --driver-opt bandwidth.ingress=1mbit --driver-opt external_address=203.0.113.9 --driver-opt isolated=true --driver-opt vlan=10 --driver-opt com.docker.network.endpoint.ifname=lan0 --driver-opt com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=0 b web",
        "{networks: {a: {}, b: {device: eth2, bandwidth: {egress: 5mbit, ingress: 1mbit}, external_address: 203.0.113.9, isolated: true, vlan: 10, interface: lan0, sysctls: {net.ipv4.conf.IFNAME.log_martians: 1, net.ipv6.conf.IFNAME.accept_ra: 0}}}}",
    );
    assert_eq!(
        connected("containers: {web: {}}", "connect --driver-opt colour=red b web").unwrap_err(),
        "netform has nothing for the option `colour`"
    );
    assert_eq!(
        connected("containers: {wen: {}}", "connect b web").unwrap_err(),
        "the manifest declares no container web"
    );
}

#[test]
fn a_container_leaves_a_network_and_has_none_in_the_end() {
    let check = |before: &str, want: &str| assert_eq!(connected(before, "disconnect a web").unwrap(), want);
    check("containers: {web: {networks: [a, b]}}", "{networks: [b]}");
    check("containers: {web: {networks: {a: {mac: x}, b: {}}}}", "{networks: {b: {}}}");
    check("containers: {web: {networks: [a], expose: [80]}}", "{expose: [80], mode: none}");
    let silent = "containers: {web: {expose: [80]}}";
    assert_eq!(connected(silent, "disconnect default web").unwrap(), "{expose: [80], mode: none}");
    assert_eq!(connected(silent, "disconnect a web").unwrap_err(), "web is not on network a");
}
