//! Standard output, standard error and exit code together, of what needs no kernel.

use std::process::{Command, Stdio};

fn netform(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_netform"))
        .args(args)
        .env("NO_COLOR", "1")
        .env_remove("NETFORM_MANIFEST")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn written(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("netform.yaml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn help_and_version_go_to_standard_output() {
    for args in [["--help"], ["--version"]] {
        let (code, stdout, stderr) = netform(&args);
        assert_eq!((code, stderr.as_str()), (0, ""));
        assert!(stdout.contains("netform"));
    }
}

#[test]
fn a_wrong_command_line_exits_with_64() {
    for args in [
        &["frobnicate"] as &[_],
        &["plan", "--frobnicate"],
        &[],
        &["plan", "--output", "xml"],
        &["exec", "web"],
    ] {
        let (code, stdout, stderr) = netform(args);
        assert_eq!((code, stdout.as_str()), (64, ""), "{args:?}");
        assert!(stderr.contains("--help"), "{args:?}: {stderr}");
    }
}

#[test]
fn a_misspelt_verb_is_not_led_to_one_that_is_netforms_own() {
    for (verb, near) in [("revert", "'events'"), ("revert-unconfirmd", ""), ("destory", "'destroy'")] {
        let (code, _, stderr) = netform(&[verb]);
        assert!(code == 64 && stderr.contains(near) && !stderr.contains("revert-unconfirmed"), "{stderr}");
    }
}

#[test]
fn a_manifest_that_is_not_there_exits_with_66() {
    let (code, stdout, stderr) = netform(&["validate", "/nonexistent/shop.yaml"]);

    assert_eq!((code, stdout.as_str()), (66, ""));
    assert!(stderr.contains("/nonexistent/shop.yaml"), "{stderr}");
}

#[test]
fn what_only_the_host_knows_is_no_fault_of_a_manifest() {
    let (code, stdout, stderr) =
        netform(&["validate", "testdata/manifests/valid/external-without-subnets.yaml"]);

    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
}

#[test]
fn a_good_manifest_is_said_to_be_good() {
    let (code, stdout, stderr) = netform(&["validate", "examples/shop.yaml"]);

    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(
        stdout,
        "examples/shop.yaml is valid: project shop, 2 networks, 2 containers, 1 published port.\n"
    );
}

#[test]
fn every_problem_of_a_manifest_is_reported_at_once_at_its_place() {
    let (_dir, path) = written(
        "netform: 1\nproject: shop\nnetworks:\n  front: {subnets: [172.25.0.1/16]}\n  back: {mtuu: 1400}\n\
         containers:\n  web: {networks: [fronl]}\n",
    );

    let (code, stdout, stderr) = netform(&["validate", &path]);

    assert_eq!((code, stdout.as_str()), (65, ""));
    for place in [":4:", ":5:"] {
        assert!(stderr.contains(&format!("netform.yaml{place}")), "{place} in {stderr}");
    }
    assert!(stderr.contains("mtu"), "{stderr}");
}

#[test]
fn what_contradicts_itself_is_found_without_a_kernel() {
    let (_dir, path) = written(
        "netform: 1\nproject: shop\nnetworks:\n  front: {subnets: [172.25.0.0/16]}\n  back: {subnets: [172.25.3.0/24]}\n\
         containers:\n  web: {networks: [fronl]}\n",
    );

    let (code, _, stderr) = netform(&["validate", &path]);

    assert_eq!(code, 65);
    assert!(stderr.contains("overlap") && stderr.contains("front"), "{stderr}");
}

#[test]
fn machines_get_problems_as_json() {
    let (_dir, path) = written("netform: 1\nproject: Shop\n");

    let (code, stdout, _) = netform(&["validate", "--output", "json", &path]);

    assert_eq!(code, 65);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["valid"], false);
    assert_eq!(report["diagnostics"][0]["line"], 2);
}

#[test]
fn a_manifest_comes_by_standard_input() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_netform"))
        .args(["validate", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"netform: 1\nproject: shop\n").unwrap();
    let output = child.wait_with_output().unwrap();

    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("valid"));
}

#[test]
fn a_broken_pipe_is_no_panic() {
    let script = format!("{} schema | head -c 10", env!("CARGO_BIN_EXE_netform"));
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();

    assert!(!String::from_utf8_lossy(&output.stderr).contains("panic"));
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, stdout, _) = netform(&["completion", shell]);
        assert_eq!(code, 0);
        assert!(stdout.contains("netform"));
    }
}

#[test]
fn a_plan_is_not_saved_where_there_is_no_directory() {
    let (dir, path) = written("netform: 1\nproject: shop\n");
    let out = dir.path().join("plans/deep/shop.plan");

    let (code, stdout, stderr) = netform(&["plan", &path, "--out", out.to_str().unwrap()]);

    assert_eq!((code, stdout.as_str()), (66, ""));
    assert!(
        stderr.contains("there is no directory") && stderr.contains("help: make it with `mkdir -p "),
        "{stderr}"
    );
    assert!(!dir.path().join("plans").exists());
}

#[test]
fn a_plan_is_saved_in_place_of_nothing_but_a_plan() {
    let (dir, path) = written("netform: 1\nproject: shop\ninclude: [parts.yaml]\n");
    let text = std::fs::read_to_string(&path).unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(at("parts.yaml"), "containers: {}\n").unwrap();
    std::fs::write(at("notes"), "mine").unwrap();
    std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
    std::os::unix::fs::symlink("parts.yaml", at("other.yaml")).unwrap();

    for (out, why) in [
        (path.clone(), "is no saved plan"),
        (at("notes"), "is no saved plan"),
        (at("link"), "is no saved plan"),
        (at("."), "is no saved plan"),
        ("/dev/null".to_owned(), "is no saved plan"),
        (at("parts.yaml"), "is no saved plan"),
        (at("other.yaml"), "is no saved plan"),
    ] {
        let (code, stdout, stderr) = netform(&["plan", &path, "--out", &out]);
        assert_eq!((code, stdout.as_str()), (64, ""), "{out}: {stderr}");
        assert!(
            stderr.contains(&format!("cannot save the plan as {out}: ")) && stderr.contains(why),
            "{stderr}"
        );
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert_eq!(std::fs::read_to_string(at("notes")).unwrap(), "mine");
}

#[test]
fn an_apply_takes_a_saved_plan_and_says_so() {
    let (_, help, _) = netform(&["apply", "--help"]);

    assert!(help.contains("[MANIFEST|PLAN]") && help.contains("`netform plan --out`"), "{help}");
}

#[test]
fn a_project_that_nobody_knows_is_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    for verb in ["confirm", "history"] {
        let at = ["--state-dir", state, "--run-dir", state, verb, "--project", "shpo"];
        let (code, stdout, stderr) = netform(&at);
        assert_eq!((code, stdout.as_str()), (66, ""), "{verb}: {stderr}");
        assert!(
            stderr.contains("there is nothing of a project shpo") && stderr.contains("help: "),
            "{stderr}"
        );

        std::fs::create_dir_all(dir.path().join("shop")).unwrap();
        let (_, _, stderr) = netform(&at);
        assert!(stderr.contains("help: these are known: shop"), "{stderr}");
        std::fs::remove_dir(dir.path().join("shop")).unwrap();
    }
}

#[test]
fn there_is_no_way_back_for_a_project_that_nobody_knows() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state").display().to_string();
    for args in [&["rollback", "--project", "nope"][..], &["rollback", "--project", "nope", "--dry-run"]] {
        let (code, _, stderr) =
            netform(&[args, &["--state-dir", &state, "--run-dir", &state, "--yes"]].concat());
        assert_eq!(code, 66, "{stderr}");
        assert!(stderr.contains("nope") && !stderr.contains("before the newest"), "{stderr}");
    }
}

#[test]
fn machines_are_told_in_json_why_there_is_no_plan_and_nothing_to_validate() {
    let (_dir, wrong) = written("netform: 1\nproject: shop\nnetwork: {}\n");
    let state = tempfile::tempdir().unwrap();
    let state = ["--state-dir", state.path().to_str().unwrap()];
    for (verb, manifest, want) in [
        ("plan", wrong.as_str(), 65),
        ("status", wrong.as_str(), 65),
        ("plan", "/nowhere.yaml", 66),
        ("status", "/nowhere.yaml", 66),
    ] {
        let place: &[&str] = if verb == "status" { &["--manifest", manifest] } else { &[manifest] };
        let (code, stdout, stderr) = netform(&[&[verb, "--output", "json"], place, &state].concat());

        let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        crate::schema::assert_follows("error", &document);
        assert_eq!((code, &document["error"]["exit_code"]), (want, &want.into()), "{document}");
        assert_eq!(
            document["error"]["diagnostics"].as_array().unwrap().len(),
            usize::from(want == 65),
            "{document}"
        );
        assert!(!stderr.is_empty(), "people are told, too");
        assert_eq!(netform(&[&[verb], place, &state].concat()).1, "", "who asks for no JSON gets none");
    }

    let (code, stdout, stderr) = netform(&["validate", "--output", "json", "/nowhere.yaml"]);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    crate::schema::assert_follows("validate", &report);
    assert_eq!((code, &report["valid"], &report["error_count"]), (66, &false.into(), &1.into()));
    assert!(report["diagnostics"][0]["message"].as_str().unwrap().contains("/nowhere.yaml"), "{report}");
    assert!(stderr.contains("/nowhere.yaml"), "{stderr}");
}

#[test]
fn what_is_valid_and_not_what_it_seems_is_told_to_people_and_machines() {
    let (_dir, path) = written(
        "netform: 1\nproject: shop\nnetworks: {shut: {subnets: [10.7.0.0/24], ingress: none}}\n\
         containers: {localhost: {networks: [shut], publish: ['8080:80']}}\n",
    );
    let sentences = ["nothing comes in: network `shut` says `ingress: none`", "has a misleading name"];

    let (code, _, stderr) = netform(&["validate", &path]);
    assert!(code == 0 && sentences.iter().all(|it| stderr.contains(it)), "{stderr}");

    let (code, stdout, stderr) = netform(&["validate", "--output", "json", &path]);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    crate::schema::assert_follows("validate", &report);
    assert_eq!((code, stderr.as_str(), &report["valid"]), (0, "", &true.into()));
    let warnings = report["warnings"].to_string();
    assert!(sentences.iter().all(|it| warnings.contains(it)), "{warnings}");
}

#[test]
fn a_manifest_where_a_verb_takes_none_is_told_the_option() {
    let tip = |words: &[&str]| {
        let (code, stdout, stderr) = netform(words);
        assert_eq!((code, stdout.as_str()), (64, ""), "{stderr}");
        stderr.lines().find(|line| line.contains("tip:")).unwrap_or_default().trim().to_owned()
    };

    for verb in [&["status"][..], &["history"], &["doctor"], &["status", "--tree"], &["network", "ls"]] {
        let told = tip(&[verb, &["shop.yaml"]].concat());
        assert_eq!(told, "tip: `--manifest shop.yaml` names a manifest", "{verb:?}");
    }
    assert_eq!(tip(&["schema", "plan", "shop.yaml"]), "", "it reads none");
    assert!(!tip(&["status", "--tre"]).contains("names a manifest"));
}
