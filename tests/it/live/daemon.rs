//! A `netform watch` of one test.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::world::World;

/// A daemon, killed when the test ends.
pub struct Daemon<'a> {
    world: &'a World,
    child: Child,
}

impl<'a> Daemon<'a> {
    /// Starts a daemon on `netform.yaml`, with further arguments, and waits until its first run is over.
    #[track_caller]
    pub fn start(world: &'a World, args: &[&str]) -> Self {
        Self::of(world, "netform.yaml", args)
    }

    /// The same on another manifest; only the log of the last one is kept.
    #[track_caller]
    pub fn of(world: &'a World, manifest: &str, args: &[&str]) -> Self {
        let log = std::fs::File::create(world.dir().join("watch.log")).unwrap();
        let mut command = world.netform();
        command.args(["watch", manifest]).args(args).stdin(Stdio::null()).stderr(log);
        let daemon = Self { world, child: command.spawn().unwrap() };
        daemon.says("watching");
        daemon
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.world.dir().join("watch.log")).unwrap()
    }

    /// Waits until it has logged something.
    #[track_caller]
    pub fn says(&self, what: &str) {
        patiently(&|| format!("`{what}` in the log:\n{}", self.log()), || self.log().contains(what));
    }

    /// Waits until the live state is what the manifest says.
    #[track_caller]
    pub fn brings_it_in_sync(&self, after: &str) {
        patiently(&|| format!("in sync after `{after}`:\n{}\n{}", self.world.plan().0, self.log()), || {
            !self.world.plan().1
        });
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        self.world.sh(&format!("kill -{name} {}", self.child.id()));
    }

    /// Stops it while it changes nothing: it has no lock then that others wait for.
    pub fn stop_at_rest(&self) {
        let is_free = || {
            self.signal("STOP");
            let free = self.world.sh("flock -n run/shop/lock true && echo free || true");
            free.contains("free") || {
                self.signal("CONT");
                false
            }
        };
        patiently(&|| self.log(), is_free);
    }

    /// Waits for its end and returns its exit code.
    pub fn ends(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Waits until `condition` holds; the machine may be busy with other things for long.
#[track_caller]
pub fn patiently(what: &dyn Fn() -> String, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "still not so after a minute: {}", what());
        std::thread::sleep(Duration::from_millis(20));
    }
}
