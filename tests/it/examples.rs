//! What README and the examples say is true.

use std::process::Command;

fn blocks(kind: &str) -> Vec<String> {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let fence = format!("```{kind}\n");
    readme.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn every_manifest_of_readme_and_the_examples_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("networks")).unwrap();
    std::fs::write(dir.path().join("networks/none.yaml"), "networks: {}\n").unwrap();
    let mut manifests: Vec<_> = blocks("yaml")
        .into_iter()
        .enumerate()
        .map(|(number, text)| {
            let path = dir.path().join(format!("readme-{number}.yaml"));
            std::fs::write(&path, text).unwrap();
            path
        })
        .collect();
    assert!(!manifests.is_empty());
    for entry in std::fs::read_dir("examples").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            manifests.push(path);
        }
    }
    for path in manifests {
        let output = Command::new(env!("CARGO_BIN_EXE_netform")).arg("validate").arg(&path).output().unwrap();
        // The bridge of an `external` network is somewhere else; everything else must be right.
        assert!(output.status.success(), "{}:\n{}", path.display(), String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn readme_lists_every_verb_and_no_other() {
    let help = Command::new(env!("CARGO_BIN_EXE_netform")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let verbs = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let verbs: Vec<_> = verbs
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("    "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    let readme = std::fs::read_to_string("README.md").unwrap();
    let listed = readme.split("## Verbs").nth(1).unwrap().split("##").next().unwrap();
    let mut listed: Vec<_> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split([' ', '`']).next())
        .collect();
    // A verb may have a row for each way of using it.
    listed.dedup();

    assert_eq!(verbs, listed);
}

#[test]
fn readme_lists_every_exit_code() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let table = readme.split("## Exit codes").nth(1).unwrap().split("##").next().unwrap();
    let failure = std::fs::read_to_string("src/cli/failure.rs").unwrap();
    let codes = failure
        .lines()
        .filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = ")?.1.parse::<u8>().ok());

    let mut seen = 0;
    for code in codes {
        seen += 1;
        let listed = table.lines().any(|line| {
            line.split('|').nth(1).is_some_and(|cell| cell.split(',').any(|c| c.trim() == code.to_string()))
        });
        assert!(listed, "exit code {code} is not in README");
    }
    assert!(seen > 10);
}
