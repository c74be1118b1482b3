//! The daemon's status as Prometheus reads it: the text format, version 0.0.4.

use std::fmt::Write as _;

use super::protocol::{Condition, Counts, Status};

/// Returns the metrics, labelled with the project only: names of networks and containers would be too many.
pub(super) fn text(status: &Status) -> String {
    let Status { version, project, state, generation, objects, differing, contested, counts, .. } = status;
    let Counts { runs, failures, run_micros, last_run_micros, edits, changed, drifted, .. } = *counts;
    let Counts { repaired, notices, overruns, requests, transactions, listings, zones, .. } = *counts;
    let mut text = Text { project, text: String::new() };
    let yes = |yes: bool| if yes { 1.0 } else { 0.0 };
    let seconds = |micros: u64| micros as f64 / 1e6;
    text.text.push_str("# HELP netform_build_info The version that runs.\n# TYPE netform_build_info gauge\n");
    let _ = writeln!(text.text, "netform_build_info{{version=\"{version}\"}} 1");
    text.gauge("in_sync", "Whether the kernel holds what it shall.", yes(*state == Condition::InSync));
    text.gauge("suspended", "Whether nothing is touched.", yes(*state == Condition::Suspended));
    text.gauge("held", "Whether the manifest is not in force.", yes(status.held.is_some()));
    text.gauge("generation", "The generation in force.", *generation as f64);
    text.gauge("objects", "Kernel objects that there shall be.", *objects as f64);
    text.gauge("objects_differing", "Kernel objects left alone though they differ.", *differing as f64);
    text.gauge("objects_contested", "Fields that somebody else keeps changing.", contested.len() as f64);
    text.gauge("last_success_timestamp_seconds", "When a run last succeeded.", status.last_success_at as f64);
    text.gauge("last_run_duration_seconds", "How long the last run took.", seconds(last_run_micros));
    text.counter("reconciles_total", "Runs that succeeded.", runs as f64);
    text.counter("reconcile_failures_total", "Runs that failed.", failures as f64);
    text.counter("reconcile_seconds_total", "How long all runs took together.", seconds(run_micros));
    text.counter("edits_total", "Manifests that were taken up.", edits as f64);
    text.counter("resources_changed_total", "Resources that were changed.", changed as f64);
    text.counter("drift_detected_total", "Fields and objects that had drifted.", drifted as f64);
    text.counter("drift_repaired_total", "Fields and objects that were set back.", repaired as f64);
    text.counter("kernel_notices_total", "Notices of the kernel.", notices as f64);
    text.counter(
        "kernel_overruns_total",
        "Times the kernel had more to tell than was heard.",
        overruns as f64,
    );
    text.counter("kernel_requests_total", "Route netlink requests, a dump being one.", requests as f64);
    text.counter("nft_transactions_total", "Transactions of nft.", transactions as f64);
    text.counter("nft_listings_total", "Tables that nft listed.", listings as f64);
    text.counter("zones_total", "Times it was worked out what names are answered with.", zones as f64);
    text.text
}

struct Text<'a> {
    project: &'a str,
    text: String,
}

impl Text<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.sample(name, help, "gauge", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.sample(name, help, "counter", value);
    }

    fn sample(&mut self, name: &str, help: &str, kind: &str, value: f64) {
        let Self { project, text } = self;
        let _ = write!(
            text,
            "# HELP netform_{name} {help}\n# TYPE netform_{name} {kind}\nnetform_{name}{{project=\"{project}\"}} \
             {value}\n"
        );
    }
}

/// Tells whether the daemon does its work: one whose runs fail is alive, and not ready.
pub(super) fn is_ready(status: &Status) -> bool {
    match status.state {
        Condition::Starting | Condition::Failing | Condition::Silent => false,
        Condition::InSync
        | Condition::Differs
        | Condition::Held
        | Condition::Suspended
        | Condition::Undecided => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_and_typed_as_prometheus_wants_it() {
        let status = Status {
            project: "shop".to_owned(),
            state: Condition::InSync,
            generation: 7,
            ..Status::default()
        };
        let text = text(&status);
        assert!(
            text.contains("# TYPE netform_in_sync gauge\nnetform_in_sync{project=\"shop\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("netform_generation{project=\"shop\"} 7\n"), "{text}");
        assert!(text.lines().all(|line| line.starts_with("# ") || line.starts_with("netform_")), "{text}");
    }

    #[test]
    fn a_daemon_is_ready_once_its_runs_succeed() {
        let ready = |state| is_ready(&Status { state, ..Status::default() });
        assert!(ready(Condition::InSync) && ready(Condition::Suspended) && ready(Condition::Held));
        assert!(!ready(Condition::Starting) && !ready(Condition::Failing));
    }
}
