//! Names.

use super::topology;
use crate::topology::facts::Facts;

fn hosts(text: &str, container: &str) -> String {
    let topology = topology(text, &Facts::default());
    let lines = topology.container(container).hosts.iter();
    lines.map(|(addr, names)| format!("{addr} {}\n", names.join(" "))).collect()
}

#[test]
fn a_container_knows_itself_its_links_its_neighbours_and_its_host() {
    let text = "net a 10.0.0.0/24\nnet b 10.1.0.0/24 fd01::/64\nnet i 10.2.0.0/24 internal\n\
                ctr web @i @a,link=base:db @b\nctr db @a,alias=store @b\nctr spare @a,alias=store,alias=web\nctr far @b";
    insta::assert_snapshot!(hosts(text, "web"), @"");
}

#[test]
fn the_default_network_has_no_names_but_links() {
    insta::assert_snapshot!(hosts("ctr web\nctr db\nctr x none", "web"), @"");
    insta::assert_snapshot!(hosts("net default 10.0.0.0/24\nctr web @default,link=base:db\nctr db @default,alias=store", "web"), @"");
    insta::assert_snapshot!(hosts("ctr x none", "x"), @"");
}

#[test]
fn a_link_comes_before_a_container_of_that_name_on_whatever_network() {
    let text = "net a 10.0.0.0/24\nnet b 10.1.0.0/24\nctr web @a @b,link=db:other\nctr db @a\nctr other @b";
    insta::assert_snapshot!(hosts(text, "web"), @"");
}

#[test]
fn who_is_not_there_yet_answers_to_no_name() {
    let text = "net a 10.0.0.0/24\nctr first @a,alias=app netns=later\nctr second @a,alias=app\nctr web @a";
    insta::assert_snapshot!(hosts(text, "web"), @"");
}

#[test]
fn a_namespace_by_path_has_no_hosts_file() {
    assert_eq!(hosts("net a 10.0.0.0/24\nctr web @a netns=/run/x", "web"), "");
}
