//! Compose files as manifests: every file under `testdata/compose` becomes what stands beside it, or gives that message.

use std::path::Path;

use netform::import::compose::{File, Variables, compose};
use netform::manifest::problem::{Style, render};

use super::diagnostics::{claim, diagnose, manifests};

/// What a user is told: the manifest with what it could not take over, or what is wrong with the file.
fn imported(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    let file =
        File { name, bytes: std::fs::read(path).unwrap(), project: None, directory: "My.Shop".to_owned() };
    let variables: Variables = [("TAG", "1.2"), ("PORT", "8080")]
        .map(|(name, value)| (name.to_owned(), (value.to_owned(), ".env")))
        .into();
    let sketch = match compose(file, &variables) {
        Ok(sketch) => sketch,
        Err(problems) => return render(&problems, Style::Plain),
    };
    let text = sketch.text();
    assert_eq!(diagnose(text.as_bytes()), "", "{text}");
    assert_eq!(validated(&text), "", "{text}");
    let notes = sketch.notes.iter().map(|note| match &note.origin {
        Some(origin) => format!("note: {origin}: {}\n", note.text),
        None => format!("note: {}\n", note.text),
    });
    format!("{text}\n{}", notes.collect::<String>())
}

/// What `netform validate` says of a manifest that it refuses.
fn validated(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("netform.yaml");
    std::fs::write(&path, text).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_netform"));
    let output = command.arg("validate").arg(path).output().unwrap();
    if output.status.success() { String::new() } else { String::from_utf8(output.stderr).unwrap() }
}

#[test]
fn a_compose_file_becomes_the_manifest_beside_it() {
    let paths = manifests("testdata/compose");
    assert!(paths.len() >= 10, "only {} Compose files", paths.len());

    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/compose"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in paths {
            insta::assert_snapshot!(claim(&path), imported(&path));
        }
    });
}
