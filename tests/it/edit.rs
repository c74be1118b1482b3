//! The verbs that read and edit a manifest's text, as a user sees them. None needs a privilege or a kernel.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

const SHOP: &str = "\
# A shop.
netform: 1
project: shop

networks:
  front:
    subnets: [172.25.0.0/16]
    mtu: 1400 # the tunnel's
  back: {internal: true}

# Who is there.
containers:
  web: {networks: [front]} # the server
";

/// A directory with a manifest in it.
struct Desk {
    dir: TempDir,
}

impl Desk {
    fn with(text: &str) -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        desk.write("netform.yaml", text);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netform"));
        command.args(args).current_dir(self.dir.path()).env("NO_COLOR", "1").env_remove("NETFORM_MANIFEST");
        command
    }

    /// Runs `netform` and returns its exit code and what it printed.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let output = self.command(args).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Runs `netform`, which must succeed, and returns what it printed.
    #[track_caller]
    fn prints(&self, args: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(args);
        assert_eq!(code, 0, "{args:?}: {stdout}{stderr}");
        stdout
    }

    /// Checks that `netform` refuses with this exit code and message, and that the manifest stays as it is.
    #[track_caller]
    fn refuses(&self, args: &[&str], want: i32, why: &str) {
        let before = self.read("netform.yaml");
        let (code, stdout, stderr) = self.run(args);
        assert_eq!(code, want, "{args:?}: {stdout}{stderr}");
        assert!(stderr.contains(why), "{args:?}: {stderr}");
        assert_eq!(self.read("netform.yaml"), before, "{args:?}");
    }
}

#[test]
fn get_prints_what_is_at_a_path() {
    let desk = Desk::with(SHOP);

    assert_eq!(desk.prints(&["get", "networks.front.subnets[0]"]), "172.25.0.0/16\n");
    assert_eq!(desk.prints(&["get", "containers"]), "web:\n  networks:\n  - front\n");
    assert_eq!(
        desk.prints(&["get", "networks.front", "--output", "json"]),
        "{\n  \"subnets\": [\n    \"172.25.0.0/16\"\n  ],\n  \"mtu\": 1400\n}\n"
    );
    desk.refuses(&["get", "networks.frnt"], 66, "did you mean `networks.front`?");
    desk.refuses(&["get", "networks..x"], 64, "is not a path");
}

#[test]
fn get_sees_all_files_of_a_manifest() {
    let desk = Desk::with("netform: 1\nproject: shop\ninclude: [more/*.yaml]\nnetworks: {front: {}}\n");
    desk.write("more/back.yaml", "networks: {back: {mtu: 1300}}\n");

    assert_eq!(desk.prints(&["get", "networks.back.mtu"]), "1300\n");
    assert_eq!(desk.prints(&["get", "networks"]), "front: {}\nback:\n  mtu: 1300\n");
}

#[test]
fn set_changes_one_line_and_says_which() {
    let desk = Desk::with(SHOP);

    let told = desk.prints(&["set", "networks.front.mtu=1500"]);

    assert!(told.contains("-    mtu: 1400 # the tunnel's\n+    mtu: 1500 # the tunnel's\n"), "{told}");
    assert_eq!(desk.read("netform.yaml"), SHOP.replace("1400", "1500"));
    assert_eq!(desk.prints(&["set", "networks.front.mtu=1500"]), "The manifest says so already.\n");
}

#[test]
fn set_makes_and_takes_away() {
    let desk = Desk::with(SHOP);

    desk.prints(&[
        "set",
        "containers.db={networks: [back]}",
        "networks.back.dns.ttl=5",
        "--unset",
        "networks.front.mtu",
    ]);

    let want = SHOP
        .replace("    mtu: 1400 # the tunnel's\n", "")
        .replace("{internal: true}", "{internal: true, dns: {ttl: 5}}");
    assert_eq!(desk.read("netform.yaml"), format!("{want}  db: {{networks: [back]}}\n"));
}

#[test]
fn a_dry_run_only_shows_the_difference() {
    let desk = Desk::with(SHOP);

    let told = desk.prints(&["set", "--dry-run", "--unset", "networks.back"]);

    assert!(told.contains("-  back: {internal: true}"), "{told}");
    assert_eq!(desk.read("netform.yaml"), SHOP);
}

#[test]
fn what_would_be_wrong_is_not_written() {
    let desk = Desk::with(SHOP);

    desk.refuses(&["set", "networks.front.mtuu=1"], 65, "netform.yaml:9:5: error[manifest::unknown_key]");
    desk.refuses(&["set", "networks.back.subnets=[172.25.3.0/24]"], 65, "overlap");
    desk.refuses(
        &["set", "--unset", "networks.front"],
        65,
        "help: this is the manifest as it would be; nothing was changed",
    );
    desk.refuses(&["set", "networks.front.mtu=[1"], 64, "is not YAML");
    desk.refuses(&["set", "networks.front.mtu"], 64, "has no `=`");
    desk.refuses(&["set", "=1"], 64, "a path is missing");
    desk.refuses(&["set", "networks.front.mtu.x=1"], 66, "`networks.front.mtu` is no map");
    desk.refuses(&["set", "--unset", "networks.frond"], 66, "did you mean `networks.front`?");
    desk.refuses(&["set", "--manifest", "-", "project=x"], 64, "standard input cannot be edited");
    desk.refuses(&["set", "--manifest", "/dev/null", "project=x"], 64, "not a regular file");
    desk.refuses(&["set", "--manifest", "none.yaml", "project=x"], 66, "netform init");
}

#[test]
fn a_wrong_manifest_can_be_set_right() {
    let desk = Desk::with("netform: 1\nproject: shop\nnetworks:\n  front: {mtu: 12} # bytes\n");

    desk.prints(&["set", "networks.front.mtu=1200"]);

    assert_eq!(
        desk.read("netform.yaml"),
        "netform: 1\nproject: shop\nnetworks:\n  front: {mtu: 1200} # bytes\n"
    );
}

#[test]
fn the_file_that_declares_it_is_edited() {
    let desk = Desk::with("netform: 1\nproject: shop\ninclude: [more/*.yaml]\nnetworks: {front: {}}\n");
    desk.write("more/back.yaml", "networks:\n  back: {} # there\n");

    desk.prints(&["set", "networks.back.mtu=1300"]);
    desk.prints(&["set", "networks.dmz={}"]);

    assert_eq!(desk.read("more/back.yaml"), "networks:\n  back: {mtu: 1300} # there\n");
    assert!(desk.read("netform.yaml").ends_with("networks: {front: {}, dmz: {}}\n"));
    desk.refuses(&["set", "networks.back.icc=false", "networks.front.icc=false"], 64, "in several files");
}

#[test]
fn what_an_anchor_has_a_part_in_is_left_alone() {
    let desk = Desk::with("netform: 1\nproject: shop\nnetworks:\n  one: &it {mtu: 1400}\n  two: *it\n");

    desk.refuses(&["set", "networks.two.mtu=1300"], 1, "an anchor, an alias or a merge key has a part in it");
}

#[test]
fn a_file_keeps_its_mode_its_place_and_its_odd_beginning() {
    let desk = Desk::with("");
    let text = "\u{FEFF}netform: 1\r\nproject: shop\r\nnetworks: {front: {}}\r\n";
    desk.write("real/shop.yaml", text);
    fs::set_permissions(desk.path("real/shop.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::remove_file(desk.path("netform.yaml")).unwrap();
    symlink("real/shop.yaml", desk.path("netform.yaml")).unwrap();
    let owner = fs::metadata(desk.path("real/shop.yaml")).unwrap().uid();

    desk.prints(&["set", "networks.front.mtu=1400"]);

    let written = fs::symlink_metadata(desk.path("real/shop.yaml")).unwrap();
    assert_eq!((written.mode() & 0o7777, written.uid()), (0o640, owner));
    assert!(fs::symlink_metadata(desk.path("netform.yaml")).unwrap().is_symlink());
    assert_eq!(desk.read("netform.yaml"), text.replace("{front: {}}", "{front: {mtu: 1400}}"));
    let left: Vec<_> =
        fs::read_dir(desk.path("real")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["shop.yaml"]);
}

#[test]
fn editors_at_the_same_time_lose_nothing() {
    let desk = Desk::with(SHOP);

    let editors: Vec<_> = (0..8)
        .map(|number| {
            let value = format!("containers.c{number}={{networks: [front]}}");
            desk.command(&["set", &value]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut editor in editors {
        assert!(editor.wait().unwrap().success());
    }

    for number in 0..8 {
        assert_eq!(desk.prints(&["get", &format!("containers.c{number}.networks[0]")]), "front\n");
    }
}

#[test]
fn fmt_lays_out_every_file_and_check_only_shows_it() {
    let desk = Desk::with("netform:   1\nproject: shop\ninclude: [more/*.yaml]\n");
    desk.write("more/back.yaml", "networks:\n    back: { mtu: 1300 }   # there\n");

    let (code, diff, _) = desk.run(&["fmt", "--check"]);
    assert_eq!(code, 2);
    assert!(diff.contains("-netform:   1\n+netform: 1\n"), "{diff}");
    assert!(desk.read("netform.yaml").starts_with("netform:   1"));

    assert_eq!(desk.prints(&["fmt"]), "netform.yaml\nmore/back.yaml\n");
    assert_eq!(desk.read("more/back.yaml"), "networks:\n  back: {mtu: 1300}       # there\n");
    assert_eq!(desk.prints(&["fmt", "--check"]), "");
    assert_eq!(desk.prints(&["fmt"]), "");
}

#[test]
fn fmt_takes_standard_input() {
    let desk = Desk::with("");
    let mut child = desk.command(&["fmt", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a:   [ 1,2 ]").unwrap();

    assert_eq!(child.wait_with_output().unwrap().stdout, b"a: [1, 2]\n");

    let mut child = desk.command(&["fmt", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"netform: 1\nproject: [shop\n").unwrap();
    let done = child.wait_with_output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(65));
    assert!(told.contains("<stdin>:2:"), "{told}");
}

#[test]
fn fmt_leaves_what_is_no_yaml() {
    let desk = Desk::with("netform: 1\nproject: [shop\n");

    desk.refuses(&["fmt"], 65, "netform.yaml:");
    desk.write("netform.yaml", &"[".repeat(100_000));
    desk.refuses(&["fmt"], 65, "nest deeper");
    desk.refuses(&["set", "project=x"], 65, "nest deeper");
    desk.refuses(&["get", "project"], 65, "nest deeper");
}

#[test]
fn what_no_text_can_hold_is_said_and_left_as_it_is() {
    for bytes in [&b"netform:   1\nproject: x # caf\xe9\n"[..], b"netform:   1\nproject: x # \0\n"] {
        let desk = Desk::with("");
        fs::write(desk.path("netform.yaml"), bytes).unwrap();
        for verb in [&["fmt"][..], &["fmt", "--check"], &["set", "project=y"]] {
            let (code, _, told) = desk.run(verb);
            assert_eq!(code, 65, "{verb:?}: {told}");
            assert!(told.contains("netform.yaml:2:"), "{verb:?}: {told}");
        }
        assert_eq!(fs::read(desk.path("netform.yaml")).unwrap(), bytes);
    }
}

#[test]
fn init_writes_no_file_of_the_name_of_standard_input() {
    let desk = Desk::with(SHOP);

    desk.refuses(&["init", "-"], 64, "`-` is none");
    assert!(!desk.path("-").exists());
}

#[test]
fn what_is_wrong_with_a_wish_comes_before_who_answers_the_question() {
    let desk = Desk::with(SHOP);

    desk.refuses(&["network", "rm", "fron"], 66, "did you mean `front`");
    desk.refuses(&["network", "rm", "front"], 7, "in use");
    desk.refuses(&["network", "rm", "back"], 64, "no terminal");
}

#[test]
fn init_writes_a_manifest_that_is_right_and_overwrites_nothing() {
    let desk = Desk::with("");
    fs::create_dir(desk.path("shop-1")).unwrap();

    let told = desk.prints(&["init", "shop-1/netform.yaml"]);

    assert!(told.contains("netform sandbox shop-1/netform.yaml"), "{told}");
    assert_eq!(desk.prints(&["get", "project", "--manifest", "shop-1/netform.yaml"]), "shop-1\n");
    desk.prints(&["validate", "shop-1/netform.yaml"]);
    desk.prints(&["fmt", "--check", "shop-1/netform.yaml"]);
    desk.refuses(&["init"], 1, "it stays as it is");
    desk.refuses(&["init", "none/netform.yaml"], 66, "No such file");
    desk.refuses(&["init", "x.yaml", "--project", "Not A Name"], 64, "project name");
}

#[test]
fn what_is_no_file_is_not_edited_and_nobody_waits_for_it() {
    let desk = Desk::with(SHOP);
    assert!(Command::new("mkfifo").arg(desk.path("pipe.yaml")).status().unwrap().success());
    let began = std::time::Instant::now();

    for args in [&["fmt", "pipe.yaml"][..], &["set", "--manifest", "pipe.yaml", "networks.front.mtu=1400"]] {
        desk.refuses(args, 64, "pipe.yaml cannot be edited: it is not a regular file");
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(4));
}

#[test]
fn what_a_killed_edit_left_behind_goes_with_the_next_one() {
    let desk = Desk::with(SHOP);
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(90);
    for name in [".netform-edit.Ab12Cd", ".netform-backup", ".netform-edit.0fresh"] {
        desk.write(name, "half");
    }
    for name in [".netform-edit.Ab12Cd", ".netform-backup"] {
        fs::File::open(desk.path(name)).unwrap().set_modified(old).unwrap();
    }

    desk.prints(&["set", "networks.front.mtu=1380"]);

    let there = |name: &str| desk.path(name).exists();
    assert!(!there(".netform-edit.Ab12Cd"), "what was left behind is gone");
    assert!(there(".netform-backup") && there(".netform-edit.0fresh"), "what is somebody's is there");
}

#[test]
fn a_hard_link_keeps_its_text_and_that_is_said() {
    let desk = Desk::with(SHOP);
    fs::hard_link(desk.path("netform.yaml"), desk.path("copy.yaml")).unwrap();

    let (code, _, stderr) = desk.run(&["set", "networks.front.mtu=1380"]);

    assert_eq!(code, 0, "{stderr}");
    assert!(
        stderr.contains("netform.yaml has 1 further name(s), hard links, which keep the text that it had"),
        "{stderr}"
    );
    assert_eq!(desk.read("copy.yaml"), SHOP);
    let (_, _, stderr) = desk.run(&["set", "networks.front.mtu=1390"]);
    assert!(!stderr.contains("hard links"), "{stderr}");
}

#[test]
fn a_number_that_yaml_takes_for_text_is_told_as_a_number() {
    let desk = Desk::with(SHOP);
    desk.refuses(&["set", "networks.front.mtu=01400"], 65, "help: write it as 1400");
    desk.refuses(&["set", "networks.front.mtu='1400'"], 65, "help: write it without quotes");
}

#[test]
fn comments_that_go_along_with_what_is_taken_out_are_told() {
    let text = "netform: 1\nproject: shop\nnetworks:\n  front: {}\n  # Nobody knows why.\n  back:\n    mtu: 1400 # tunnel\n";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("netform.yaml");
    std::fs::write(&file, text).unwrap();

    let done = Command::new(env!("CARGO_BIN_EXE_netform"))
        .args(["set", "--unset", "networks.back", "--manifest"])
        .arg(&file)
        .output()
        .unwrap();

    let told = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{told}");
    assert!(
        told.contains("note: comments go along with what is taken out: `# Nobody knows why.`, and 1 more"),
        "{told}"
    );
}
