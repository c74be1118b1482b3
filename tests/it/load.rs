//! A manifest may be a file, a directory, or files that include each other.

use netform::manifest::problem::{Style, render};
use netform::manifest::{Input, LoadError, load};

const HEAD: &str = "netform: 1\nproject: shop\n";

/// Writes files, loads `entry`, and returns what it declares, or what is wrong with it.
fn loaded(files: &[(&str, &str)], entry: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let text = match load(&Input::Path(folder.path().join(entry))) {
        Ok(loaded) => {
            let networks: Vec<_> = loaded.manifest.networks.keys().map(ToString::to_string).collect();
            let containers: Vec<_> = loaded.manifest.containers.keys().map(ToString::to_string).collect();
            format!("networks {}; containers {}", networks.join(" "), containers.join(" "))
        }
        Err(LoadError::Bad(problems)) => render(&problems, Style::Plain),
        Err(other) => other.to_string(),
    };
    // The folder's name is another one in each run.
    text.replace(&folder.path().display().to_string(), "DIR")
}

#[test]
fn a_directory_is_one_manifest_in_the_order_of_names() {
    let files = [
        ("b.yml", "networks: {two: }\n"),
        ("a.yaml", "netform: 1\nproject: shop\nnetworks: {one: }\n"),
        ("c.yaml", "project: shop\ncontainers: {web: }\n"),
        (".hidden.yaml", "nonsense"),
        ("notes.txt", "nonsense"),
    ];

    assert_eq!(loaded(&files, ""), "networks one two; containers web");
    assert_eq!(
        loaded(&[("conf/notes.txt", "")], "conf"),
        "the directory DIR/conf has no manifest: no file in it ends in .yaml or .yml"
    );
}

#[test]
fn an_include_is_relative_to_its_file_and_may_be_a_pattern() {
    let files = [
        ("main.yaml", "netform: 1\nproject: shop\ninclude: [nets/*.yaml, ctr.yaml]\nnetworks: {front: }\n"),
        ("nets/b.yaml", "networks: {b: }\n"),
        ("nets/a.yaml", "include: [deep/x.yaml]\nnetworks: {a: }\n"),
        ("nets/deep/x.yaml", "networks: {x: }\n"),
        ("ctr.yaml", "include: [nets/a.yaml]\ncontainers: {web: }\n"),
    ];

    assert_eq!(loaded(&files, "main.yaml"), "networks front a x b; containers web");
    assert_eq!(
        loaded(&[("a.yaml", &format!("{HEAD}include: ['*.yaml']\nnetworks: {{a: }}\n"))], "a.yaml"),
        "networks a; containers "
    );
}

#[test]
fn a_file_that_is_not_there_is_not_a_bad_manifest() {
    assert_eq!(loaded(&[], "main.yaml"), "cannot read DIR/main.yaml");
}

/// Makes a pipe in a folder, that nobody writes to.
fn pipe(folder: &std::path::Path, name: &str) {
    assert!(std::process::Command::new("mkfifo").arg(folder.join(name)).status().unwrap().success());
}

#[test]
fn a_pipe_that_nobody_writes_to_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    pipe(folder.path(), "pipe.yaml");
    let shop = folder.path().join("shop.yml");
    std::fs::write(&shop, format!("{HEAD}include: [pipe.yaml]\n")).unwrap();
    let told = |name: &str| match load(&Input::Path(folder.path().join(name))).unwrap_err() {
        LoadError::Bad(problems) => render(&problems, Style::Plain),
        LoadError::Read { path: _, source } => source.to_string(),
        other @ LoadError::EmptyDirectory { .. } => other.to_string(),
    };

    assert_eq!(told("pipe.yaml"), "it is a pipe, and nobody wrote to it for 5 s");
    assert_eq!(told(""), "it is not a regular file");
    let included = told("shop.yml");
    assert!(included.contains("shop.yml:3:11") && included.contains("not a regular file"), "{included}");
}

#[test]
fn a_manifest_may_come_from_another_command() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "exec {} validate <(sleep 0.2; printf 'netform: 1\\nproject: shop\\nnetworks: {{front: }}\\n')",
        env!("CARGO_BIN_EXE_netform")
    );

    let done =
        std::process::Command::new("bash").args(["-c", &script]).current_dir(&folder).output().unwrap();

    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn problems_of_all_files_are_told_at_once() {
    let files = [
        (
            "main.yaml",
            "netform: 1\nproject: shop\ninclude: [nets.yaml, gone.yaml, 'no*.yaml', sub]\nnetworks:\n  front: {mtu: 1}\n",
        ),
        ("nets.yaml", "project: other\ninclude: [main.yaml]\nnetworks:\n  front: {}\n  back: {icc: maybe}\n"),
        ("sub/x.yaml", ""),
    ];

    insta::assert_snapshot!(loaded(&files, "main.yaml"));
}

#[test]
fn a_pattern_of_any_depth_ends_where_links_lead_in_a_circle() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("main.yaml", "netform: 1\nproject: shop\ninclude: ['conf/**/n*.yaml']\n"),
        ("here.yaml", "netform: 1\nproject: shop\ninclude: ['**/n*.yaml']\n"),
        ("conf/net.yaml", "networks: {one: }\n"),
        ("conf/deep/net.yaml", "networks: {two: }\n"),
        ("conf/deep/er/other.yaml", "nonsense"),
    ] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    for name in ["conf/a", "conf/b", "conf/deep/c"] {
        std::os::unix::fs::symlink("..", folder.path().join(name)).unwrap();
    }
    std::os::unix::fs::symlink("../../conf/net.yaml", folder.path().join("conf/deep/nlink.yaml")).unwrap();

    for entry in ["main.yaml", "here.yaml"] {
        let validate = format!("exec {} validate --output json {entry}", env!("CARGO_BIN_EXE_netform"));
        let mut command = std::process::Command::new("sh");
        let done = command.args(["-c", &validate]).current_dir(&folder).output().unwrap();
        assert!(done.status.success(), "{entry}: {}", String::from_utf8_lossy(&done.stdout));
        let Ok(loaded) = load(&Input::Path(folder.path().join(entry))) else { panic!("{entry} is wrong") };
        let networks: Vec<_> = loaded.manifest.networks.keys().map(ToString::to_string).collect();
        assert_eq!(networks.join(" "), "two one", "{entry}");
    }
}
