//! Every file under `testdata/manifests/invalid` gives the message beside it, and every one under `valid` none.

use std::path::{Path, PathBuf};

use netform::manifest::problem::{Style, render};

/// Returns what a manifest's reader would be told; empty when it is right.
pub(crate) fn diagnose(bytes: &[u8]) -> String {
    let files = [("netform.yaml".to_owned(), bytes.to_vec())];
    netform::manifest::parse(files).map_or_else(|problems| render(&problems, Style::Plain), |_| String::new())
}

/// Returns the manifests of a folder, in the order of their names.
pub(crate) fn manifests(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let Ok(entries) = std::fs::read_dir(&folder) else { return vec![] };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    paths.sort();
    paths
}

/// Returns the name of a manifest's file without its ending: what it claims.
pub(crate) fn claim(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

#[test]
fn an_invalid_manifest_gives_the_message_beside_it() {
    let paths = manifests("testdata/manifests/invalid");
    // What needs a network, a host or another resource to judge has its own test.
    let paths: Vec<_> = paths.into_iter().filter(|path| !claim(path).starts_with("x-")).collect();
    assert!(paths.len() >= 60, "only {} invalid manifests", paths.len());

    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/manifests/invalid"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in paths {
            let message = diagnose(&std::fs::read(&path).unwrap());

            assert!(!message.is_empty(), "{} has no problem", path.display());
            insta::assert_snapshot!(claim(&path), message);
        }
    });
}

#[test]
fn a_valid_manifest_has_no_problem() {
    let mut paths = manifests("testdata/manifests/valid");
    assert!(paths.len() >= 12, "only {} valid manifests", paths.len());
    paths.extend(manifests("examples"));

    for path in paths {
        assert_eq!(diagnose(&std::fs::read(&path).unwrap()), "", "{}", path.display());
    }
}
