//! Our lines in a file that is somebody else's: a container's `hosts` and `resolv.conf`, which its runtime writes.
//!
//! All that is needed to take them out again is in the file itself: ours begin with the mark and end with [`END`], and the
//! lines of `resolv.conf` that would speak against ours are turned into comments for as long as ours are there.

use std::path::Path;

use super::file::{FILE_MARK, NetnsFile};
use super::owner::Mark;
use crate::names::ProjectName;

/// The line behind ours.
const END: &str = "# End of what netform wrote.";

/// What stands before a line of theirs that does not count while ours do.
const ASIDE: &str = "#netform# ";

/// What begins the lines of `resolv.conf` that count, resolv.conf(5).
const SETTINGS: [&str; 4] = ["nameserver", "search", "domain", "options"];

/// Returns the lines of a project, the marked first one included; `None` when there are none.
pub fn of(text: &str, project: &ProjectName) -> Option<String> {
    let ours = split(text).0.into_iter().find(|part| is_of(part, project))?;
    Some(ours.iter().map(|line| format!("{line}\n")).collect())
}

/// Returns a text with these lines in it, in the place of those that the same project had there.
pub fn with(path: &Path, text: &str, content: &str) -> String {
    let (parts, theirs) = split(text);
    let project = content.lines().next().and_then(mark).map(|mark| mark.project);
    let others =
        parts.into_iter().filter(|part| project.as_ref().is_none_or(|project| !is_of(part, project)));
    let mut ours: String = others.map(whole).collect();
    ours.push_str(&whole(content.lines().collect()));
    if NetnsFile::ResolvConf.is_at(path) {
        // The first name server is the one that is asked.
        let aside = |line: &str| if counts(line) { format!("{ASIDE}{line}\n") } else { format!("{line}\n") };
        ours + &theirs.into_iter().map(aside).collect::<String>()
    } else {
        theirs.into_iter().map(|line| format!("{line}\n")).collect::<String>() + &ours
    }
}

/// Returns a text without the lines of whoever has the mark in the first of these.
pub fn without(text: &str, content: &str) -> String {
    let (parts, theirs) = split(text);
    let project = content.lines().next().and_then(mark).map(|mark| mark.project);
    let others =
        parts.into_iter().filter(|part| project.as_ref().is_none_or(|project| !is_of(part, project)));
    let others: String = others.map(whole).collect();
    let back = |line: &str| match line.strip_prefix(ASIDE) {
        Some(line) if others.is_empty() => format!("{line}\n"),
        Some(_) | None => format!("{line}\n"),
    };
    let theirs: String = theirs.into_iter().map(back).collect();
    others + &theirs
}

/// Returns the parts that netform wrote, without their last lines, and all other lines.
fn split(text: &str) -> (Vec<Vec<&str>>, Vec<&str>) {
    let (mut parts, mut theirs) = (vec![], vec![]);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if mark(line).is_none() {
            theirs.push(line);
            continue;
        }
        let mut part = vec![line];
        // Without an end, all that follows may be somebody else's.
        let ended = lines.clone().position(|line| line == END);
        part.extend(lines.by_ref().take(ended.unwrap_or_default()));
        if ended.is_some() {
            lines.next();
        }
        parts.push(part);
    }
    (parts, theirs)
}

fn whole(part: Vec<&str>) -> String {
    part.into_iter().chain([END]).map(|line| format!("{line}\n")).collect()
}

fn is_of(part: &[&str], project: &ProjectName) -> bool {
    part.first().and_then(|line| mark(line)).is_some_and(|mark| mark.project == *project)
}

fn mark(line: &str) -> Option<Mark> {
    line.strip_prefix(FILE_MARK).and_then(Mark::parse)
}

/// Tells whether a line of `resolv.conf` says something.
fn counts(line: &str) -> bool {
    line.split([' ', '\t']).next().is_some_and(|word| SETTINGS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str =
        "# Written by netform; edits are overwritten. netform:shop:container.web\n10.7.0.2\tdb\n";
    const BLOGS: &str =
        "# Written by netform; edits are overwritten. netform:blog:container.web\n10.8.0.2\twww\n";

    fn shop() -> ProjectName {
        ProjectName::try_from("shop").unwrap()
    }

    #[test]
    fn lines_come_behind_those_of_others_and_go_without_a_trace() {
        let (path, theirs) = (Path::new("/var/lib/docker/containers/1/hosts"), "127.0.0.1\tlocalhost\n");

        let with_ours = with(path, theirs, OURS);
        assert_eq!(with_ours, format!("{theirs}{OURS}{END}\n"));
        assert_eq!(of(&with_ours, &shop()).as_deref(), Some(OURS));

        let changed =
            with(path, &format!("{with_ours}10.9.0.9\ttheirs\n"), &OURS.replace("10.7.0.2", "10.7.0.3"));
        assert_eq!(changed.matches("netform:shop").count(), 1, "{changed}");
        assert_eq!(without(&changed, OURS), format!("{theirs}10.9.0.9\ttheirs\n"));
        assert_eq!(without(theirs, OURS), theirs);
    }

    #[test]
    fn a_name_server_of_others_waits_until_nobody_of_ours_is_there_any_more() {
        let path = Path::new("/var/lib/docker/containers/1/resolv.conf");
        let theirs = "# by docker\nnameserver 9.9.9.9\nsearch lan\n";

        let both = with(path, &with(path, theirs, OURS), BLOGS);
        assert_eq!(
            both,
            format!("{OURS}{END}\n{BLOGS}{END}\n# by docker\n{ASIDE}nameserver 9.9.9.9\n{ASIDE}search lan\n")
        );

        let one = without(&both, OURS);
        assert_eq!(one, format!("{BLOGS}{END}\n# by docker\n{ASIDE}nameserver 9.9.9.9\n{ASIDE}search lan\n"));
        assert_eq!(without(&one, BLOGS), theirs);
    }

    #[test]
    fn what_lost_its_end_takes_nothing_of_others_along() {
        let torn = format!("{OURS}10.9.0.9\ttheirs\n");

        assert_eq!(without(&torn, OURS), "10.7.0.2\tdb\n10.9.0.9\ttheirs\n");
    }
}
