//! Whose an object of others is, in words.

use super::answer::LinkAnswer;
use crate::resource::owner::Mark;

/// Returns whose an object with a mark is, in words.
pub(crate) fn owner_of(mark: &Mark) -> String {
    format!("project {}", mark.project)
}

/// Returns whose a link is, as far as its mark, its name and the bridge that it is a port of tell.
pub(crate) fn owner_of_link(link: &LinkAnswer, links: &[LinkAnswer]) -> Option<String> {
    link.mark().as_ref().map(owner_of).or_else(|| maker(link, links))
}

/// Returns whose a link without a mark is, as far as its name and the bridge that it is a port of tell.
pub(crate) fn maker(link: &LinkAnswer, links: &[LinkAnswer]) -> Option<String> {
    let master = || {
        let master = links.iter().find(|other| Some(other.index) == link.master)?;
        owner_of_bridge(master)
    };
    owner_of_bridge(link).or_else(master)
}

/// Returns whose a bridge is: Docker names its own `docker0` and `br-` with the network's first 12 digits.
pub(super) fn owner_of_bridge(link: &LinkAnswer) -> Option<String> {
    let named = |prefix: &str, rule: fn(&str) -> bool| link.name.strip_prefix(prefix).is_some_and(rule);
    let hex = |id: &str| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if link.kind != "bridge" {
        None
    } else if link.name == "docker0" || link.name == "docker_gwbridge" || named("br-", hex) {
        Some("Docker".to_owned())
    } else if named("virbr", digits) {
        Some("libvirt".to_owned())
    } else if named("podman", digits) {
        Some("Podman".to_owned())
    } else {
        None
    }
}
