//! The house rules that no lint knows.

use std::path::{Path, PathBuf};

/// Modules from the bottom up: each may use those above it in this list, never those below.
const ARROWS: [(&str, &[&str]); 18] = [
    ("halves", &[]),
    ("names", &[]),
    ("resource", &["names"]),
    ("manifest", &["halves", "names", "resource"]),
    ("topology", &["halves", "names", "resource", "manifest"]),
    ("driver", &["names", "resource", "manifest", "topology"]),
    ("firewall", &["names", "resource", "manifest", "topology"]),
    ("desired", &["halves", "resource", "topology", "driver", "firewall"]),
    ("kernel", &["halves", "names", "resource", "topology"]),
    ("dns", &["names", "resource", "manifest", "topology", "kernel"]),
    ("runtime", &["names", "resource", "manifest", "topology", "kernel"]),
    ("import", &["names", "resource", "manifest"]),
    ("explain", &["names", "resource", "kernel", "runtime"]),
    ("doctor", &["names", "resource", "kernel", "explain"]),
    ("plan", &["halves", "names", "resource", "kernel"]),
    ("apply", &["halves", "names", "resource", "kernel", "plan", "topology"]),
    ("watch", &["names", "resource", "kernel", "plan", "apply"]),
    (
        "cli",
        &[
            "halves", "names", "resource", "manifest", "topology", "desired", "kernel", "plan", "apply",
            "firewall", "watch", "dns", "runtime", "explain", "import", "doctor",
        ],
    ),
];

/// What pure modules must not name.
const IMPURE: [&str; 7] =
    ["std::fs", "std::env", "tokio", "SystemTime", "Instant::now", "std::process", "thread::sleep"];

/// The pure parts of modules that are not pure as a whole.
const PURE_FILES: [&str; 6] = [
    "src/dns/answer.rs",
    "src/dns/cache.rs",
    "src/dns/name.rs",
    "src/dns/resolv.rs",
    "src/dns/wire.rs",
    "src/dns/zone",
];

/// The one file of the pure modules that reads files.
const MAY_READ: [&str; 1] = ["src/manifest/load.rs"];

fn sources(under: &Path) -> Vec<(PathBuf, String)> {
    let mut found = vec![];
    for entry in std::fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found.sort();
    found
}

fn module(path: &Path) -> String {
    let inside = path.strip_prefix("src").unwrap();
    inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

#[test]
fn no_module_uses_one_above_it() {
    let mut wrong = vec![];
    for (path, text) in sources(Path::new("src")) {
        let module = module(&path);
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let (_, allowed) = ARROWS
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{module} is not in the list"));
        // Tests at the end of a file may use what they like.
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in
            code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            for used in line.split("crate::").skip(1) {
                let used = used
                    .trim_start_matches('{')
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next()
                    .unwrap();
                if used != module && !allowed.contains(&used) && ARROWS.iter().any(|(name, _)| *name == used)
                {
                    wrong.push(format!("{}:{}: {module} uses {used}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_touch_nothing_outside() {
    let pure = [
        "names", "resource", "manifest", "topology", "driver", "firewall", "desired", "plan", "explain",
        "import", "doctor",
    ];
    let mut wrong = vec![];
    for (path, text) in sources(Path::new("src")) {
        let pure_file = PURE_FILES.iter().any(|file| path.starts_with(file));
        let test = path.ends_with("tests.rs") || path.iter().any(|part| part == "tests");
        if test
            || !(pure_file || pure.contains(&module(&path).as_str()))
            || MAY_READ.iter().any(|may| path.ends_with(may))
        {
            continue;
        }
        for (number, line) in text.split("#[cfg(test)]").next().unwrap().lines().enumerate() {
            if !line.trim_start().starts_with("//") && IMPURE.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_short_enough_to_read() {
    let long: Vec<_> = sources(Path::new("src"))
        .into_iter()
        .filter(|(path, text)| !path.ends_with("tests.rs") && text.lines().count() > 400)
        .map(|(path, text)| format!("{}: {} lines", path.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn nothing_is_ignored_or_left_for_later() {
    let words = ["#[ignore", "todo!(", "unimplemented!(", "dbg!(", "TODO", "FIXME", "allow(dead_code"];
    let mut wrong = vec![];
    for (path, text) in sources(Path::new("src")).into_iter().chain(sources(Path::new("tests"))) {
        if path.ends_with("tidy.rs") {
            continue;
        }
        wrong.extend(
            words
                .iter()
                .filter(|word| text.contains(**word))
                .map(|word| format!("{}: {word}", path.display())),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_top_level_is_as_agreed() {
    let agreed = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "schemas",
        "examples",
        "testdata",
        "README.md",
        "tests",
        "benches",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "target",
    ];
    for entry in std::fs::read_dir(".").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with('.') || agreed.contains(&name.as_str()),
            "{name} is not agreed at the top level"
        );
    }
}
