//! One round: netform and the floor, each in private namespaces of its own, so that neither finds what the other left.

use std::path::Path;
use std::process::{Command, Stdio};

use netform::kernel::count::Counts;
use serde::{Deserialize, Serialize};

use crate::manifest::{Size, Variant, manifest};
use crate::measure::{self, Cost};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Case {
    /// Everything is made.
    Create,
    /// Nothing differs.
    Plan,
    /// One container's address differs.
    Attachment,
    /// One published port differs.
    Port,
    /// One of a hundred containers has lost its default route.
    Drift,
    /// Everything is removed.
    Destroy,
}

/// All of them, in the order in which a round has them, with what they are called.
pub const CASES: [(Case, &str); 6] = [
    (Case::Create, "create"),
    (Case::Plan, "plan"),
    (Case::Attachment, "attachment"),
    (Case::Port, "port"),
    (Case::Drift, "drift"),
    (Case::Destroy, "destroy"),
];

/// Who was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// netform.
    Netform,
    /// The shortest sequence of raw requests.
    Floor,
}

/// One measurement.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Sample {
    /// What was done.
    pub case: Case,
    /// By whom.
    pub who: Who,
    /// What it cost.
    pub cost: Cost,
    /// What it asked of the kernel, when that was counted.
    pub counts: Option<Counts>,
}

/// Makes the private namespaces; what follows as arguments runs in them.
const ENTER: &str = "
    mount -t tmpfs tmpfs /run && mkdir -p /run/etc/upper /run/etc/work /run/netns &&
    mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work /etc &&
    ip link set lo up && exec \"$0\" \"$@\"";

/// Names the file into which a netform that counts writes its counts.
pub const COUNTS: &str = "NETFORM_BENCH_COUNTS";

/// Whether a round is for the counts or for the times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// netform says what it asked of the kernel.
    Count,
    /// netform is as it is shipped.
    Time,
}

/// Returns a command that runs `args` of this program in private namespaces.
pub fn in_a_world(args: &[String]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-Urnm", "sh", "-ec", ENTER]).arg(std::env::current_exe().unwrap()).args(args);
    command
}

/// Runs one round and returns what was measured.
pub fn run(size: Size, purpose: Purpose) -> Vec<Sample> {
    let sizes = [size.attachments.to_string(), size.networks.to_string()];
    let purpose = match purpose {
        Purpose::Count => "count",
        Purpose::Time => "time",
    };
    let mut samples = vec![];
    for who in ["inside-floor", "inside-netform"] {
        let args: Vec<String> = [who, purpose].map(str::to_owned).into_iter().chain(sizes.clone()).collect();
        let output = in_a_world(&args).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "the round of {who} at {} failed", sizes[0]);
        let lines = String::from_utf8(output.stdout).unwrap();
        samples.extend(lines.lines().map(|line| serde_json::from_str::<Sample>(line).unwrap()));
    }
    samples
}

fn say(case: Case, who: Who, cost: Cost, counts: Option<Counts>) {
    println!("{}", serde_json::to_string(&Sample { case, who, cost, counts }).unwrap());
}

/// Returns the command that has the floor do something.
fn floor(verb: &str, size: Size) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["floor", verb, &size.attachments.to_string(), &size.networks.to_string()]);
    command
}

/// Is the floor's half of a round, inside its namespaces.
pub fn floor_inside(size: Size) {
    let cases = [
        (Case::Create, "create"),
        (Case::Attachment, "move"),
        (Case::Port, "port"),
        (Case::Drift, "repair"),
        (Case::Destroy, "remove"),
    ];
    for (case, verb) in cases {
        if case == Case::Drift {
            measure::cost(&floor("drift", size));
        }
        say(case, Who::Floor, measure::cost(&floor(verb, size)), None);
    }
    measure::cost(&floor("settle", size));
}

/// Is netform's half of a round, inside its namespaces. The floor reads what netform made, since that carries marks.
pub fn netform_inside(size: Size, purpose: Purpose) {
    // Generations go to a disk, and the journal to what a host has at `/run`, as they do for users.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let host = Host { dir: dir.path(), purpose };
    for (name, variant) in
        [("plain", Variant::Plain), ("moved", Variant::OneMoved), ("port", Variant::OtherPort)]
    {
        std::fs::write(host.manifest(name), manifest(size, variant)).unwrap();
    }
    host.measure(Case::Create, &["apply", "--yes"], "plain");
    for _ in 0..3 {
        say(Case::Plan, Who::Floor, measure::cost(&floor("read", size)), None);
        host.measure(Case::Plan, &["plan"], "plain");
    }
    host.measure(Case::Attachment, &["apply", "--yes"], "moved");
    host.run(&["apply", "--yes"], "plain");
    host.measure(Case::Port, &["apply", "--yes"], "port");
    host.run(&["apply", "--yes"], "plain");
    measure::cost(&floor("drift", size));
    host.measure(Case::Drift, &["apply", "--yes"], "plain");
    host.measure(Case::Destroy, &["destroy", "--yes"], "plain");
    measure::cost(&floor("settle", size));
}

/// Where netform runs.
struct Host<'a> {
    dir: &'a Path,
    purpose: Purpose,
}

impl Host<'_> {
    fn manifest(&self, name: &str) -> std::path::PathBuf {
        self.dir.join(name).with_extension("yaml")
    }

    /// Returns the command that has netform do something. To count, it has to be within this program.
    fn netform(&self, verb: &[&str], manifest: &str) -> Command {
        let mut command = match self.purpose {
            Purpose::Count => Command::new(std::env::current_exe().unwrap()),
            Purpose::Time => Command::new(env!("CARGO_BIN_EXE_netform")),
        };
        command.arg("--state-dir").arg(self.dir.join("state")).args(["--run-dir", "/run/netform"]);
        command.args(verb).arg(self.manifest(manifest));
        command
    }

    /// Has netform do something, and says what it cost or what was counted.
    fn measure(&self, case: Case, verb: &[&str], manifest: &str) {
        let (cost, counts) = self.run(verb, manifest);
        say(case, Who::Netform, cost, counts);
    }

    fn run(&self, verb: &[&str], manifest: &str) -> (Cost, Option<Counts>) {
        let mut command = self.netform(verb, manifest);
        match self.purpose {
            Purpose::Time => (measure::cost(&command), None),
            Purpose::Count => {
                let file = self.dir.join("counts");
                let status = command.env(COUNTS, &file).stdout(Stdio::null()).status().unwrap();
                assert!(status.success(), "{command:?}: {status}");
                let counts = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
                (Cost { wall_us: 0, cpu_us: 0, rss_kib: 0 }, Some(counts))
            }
        }
    }
}
