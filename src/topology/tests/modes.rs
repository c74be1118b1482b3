//! Containers that others run, and those that have no namespace of their own.

use super::{problems, topology};
use crate::resource::netns::{NsRef, Process};
use crate::topology::facts::{Facts, Leases, Running};
use crate::topology::{Runtime, leases};

fn run(home: &str, pid: u32, has_networks: bool) -> Running {
    let process = Process { pid, started: 7 };
    Running { home: home.to_owned(), process, has_networks, hosts: None, resolv_conf: None }
}

/// What is known when these run, and their namespaces are there.
fn facts(runs: &[(&str, Running)]) -> Facts {
    Facts {
        namespaces: runs.iter().map(|(_, run)| NsRef::Process(run.process)).collect(),
        runs: runs.iter().map(|(name, run)| ((*name).try_into().unwrap(), run.clone())).collect(),
        ..Facts::default()
    }
}

#[test]
fn a_container_of_docker_is_there_when_it_runs_and_waits_when_it_does_not() {
    let topology = topology(
        "ctr web docker=w @a\nctr db docker=d @a\nnet a",
        &facts(&[("web", run("docker: w", 42, false))]),
    );

    let seen: Vec<_> = topology.containers.iter().map(|it| (it.runtime, it.ns.to_string())).collect();
    assert_eq!(seen[0], (Runtime::Given, "process 42".to_owned()));
    assert_eq!(seen[1], (Runtime::Waiting, "no process".to_owned()));
    assert_eq!(topology.containers[0].attachments[0].link.as_str(), "eth0");
    assert_eq!(topology.containers[0].attachments[0].default_via.len(), 1);
}

#[test]
fn what_docker_gives_a_container_keeps_its_names_and_its_default_route() {
    let runs = facts(&[("web", run("docker: w", 42, true)), ("db", run("docker: d", 43, true))]);
    let topology = topology("net a\nnet b\nctr web docker=w @a @b\nctr db docker=d @a @b,prio=1", &runs);

    let links = topology.containers[0].attachments.iter().map(|at| at.link.to_string());
    assert_eq!(links.collect::<Vec<_>>(), ["nf0", "nf1"]);
    let ways = |container: usize| {
        topology.containers[container].attachments.iter().map(|at| at.default_via.len()).collect::<Vec<_>>()
    };
    assert_eq!(ways(0), [0, 0]);
    assert_eq!(ways(1), [0, 1]);
}

#[test]
fn a_process_that_has_ended_is_remembered_and_a_container_that_has_is_not() {
    let runs = facts(&[("job", run("pid: 42", 42, false)), ("web", run("docker: w", 43, false))]);
    let text = "net a\nctr job pid=42 @a\nctr web docker=w @a";
    let before = leases(&topology(text, &runs), &Leases::default());

    let topology = topology(text, &Facts { leases: before.clone(), ..Facts::default() });

    assert!(topology.containers.iter().all(|container| container.runtime == Runtime::Waiting));
    let kept: Vec<_> = leases(&topology, &Leases::default())
        .runs
        .into_iter()
        .map(|(name, run)| (name.to_string(), run.process.pid))
        .collect();
    assert_eq!(kept, [("job".to_owned(), 42)]);
}

#[test]
fn who_shares_a_namespace_has_its_names_there_and_nothing_else() {
    let topology =
        topology("net a\nctr web @a\nctr side in=web\nctr db @a\nctr agent host", &Facts::default());

    let side = topology.container("side");
    assert_eq!((side.runtime, side.ns.to_string().as_str()), (Runtime::Shared, "web"));
    assert!(side.attachments.is_empty() && side.hosts.is_empty());
    assert_eq!(topology.container("agent").ns, NsRef::Host);
    let lines = topology.container("db").hosts.concat();
    assert!(lines.contains("172.17.0.2\tweb web.a side side.a\n"), "{lines}");
}

#[test]
fn what_cannot_be_had_together_is_refused_at_its_place() {
    insta::assert_snapshot!(problems("net a\nctr web @a publish=8080:80\nctr x in=web @a\nctr y in=web publish=80:80\nctr z in=y\nctr u in=bew\nctr v in=v", &Facts::default()), @r"
    topology::isolated_with_networks: `x` has `mode: container:web`, and yet is on network `a`
      web: the interfaces of `web`
      a: network `a`
      help: leave out `mode`, or move the networks to `web`: `x` has them, too, and its name leads there
    topology::shared_with_more: `y` has `mode: container:web`, and yet publishes a port
      80:80: published here
      web: it has no namespace of its own
      help: publish the port of `web`, which has the same ones
    topology::unknown_owner: `z` shares the namespace of `y`, which has none of its own
      y: no namespace of its own
      web: `y` shares one
      help: write `mode: container:web`
    topology::unknown_owner: `u` shares the namespace of `bew`, which is not declared
      bew: not declared
      help: declare `bew` under `containers`
    topology::unknown_owner: `v` shares its own namespace
      v: itself
      help: leave `mode` out, or name another container
    ");
    insta::assert_snapshot!(problems("net a\nctr x host @a\nctr y host docker=w publish=80:80\nctr w in=x", &Facts::default()), @r"
    topology::isolated_with_networks: `x` has `mode: host`, and yet is on network `a`
      host: the host's own interfaces
      a: network `a`
      help: leave out either `mode: host` or `networks`
    topology::shared_with_more: `y` has `mode: host`, and yet lives in a namespace by `docker`
      w: a namespace of its own
      host: it has no namespace of its own
      help: leave out either `mode: host` or `docker`
    topology::shared_with_more: `y` has `mode: host`, and yet publishes a port
      80:80: published here
      host: it has no namespace of its own
      help: its ports are the host's own: leave `publish` out
    topology::unknown_owner: `w` shares the namespace of `x`, which has none of its own
      x: no namespace of its own
      host: `x` shares one
      help: write `mode: host`
    ");
    insta::assert_snapshot!(problems("net a\nctr x docker=w @a\nctr y docker=w @a", &Facts::default()), @r"
    topology::shared_namespace: `x` and `y` are the same: `docker: w`
      w: `y` lives here, too
      w: `x` lives here
      help: write `mode: container:x` for `y`
    ");
}
