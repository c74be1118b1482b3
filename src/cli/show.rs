//! What goes to the terminal: plans, and how far a run is.

use std::io::{IsTerminal, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::{ColorWhen, Common, HowMuch, PlanFormat, Rendering};
use super::failure::{Code, Failure};
use crate::apply::{Phase, Progress};
use crate::plan::{Plan, render};
use crate::resource::state::Desired;

/// How to write for whoever reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Colours: a terminal.
    Terminal,
    /// Plain text: pipes, files, logs.
    Plain,
}

impl Style {
    /// Returns the style for something that is written to, by what the user asked for.
    fn wanted(common: &Common, terminal: bool) -> Self {
        let colour = match common.color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            // An empty value counts as absent: no-color.org.
            ColorWhen::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        if colour { Self::Terminal } else { Self::Plain }
    }

    /// Returns the style of standard output.
    pub(super) fn of_stdout(common: &Common) -> Self {
        Self::wanted(common, std::io::stdout().is_terminal())
    }

    /// Returns the style of standard error.
    pub(super) fn of_stderr(common: &Common) -> Self {
        Self::wanted(common, std::io::stderr().is_terminal())
    }
}

/// Writes to standard output; a reader that has gone is no failure.
pub(super) fn out(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::of(Code::Failed, &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes to standard error; a terminal that has gone is no reason to end what is under way.
pub(super) fn err(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Shows a plan that leads to `desired`; `verb` asked for it.
pub(super) fn plan(
    plan: &Plan,
    desired: &Desired,
    show: &Rendering,
    style: Style,
    verb: &str,
) -> Result<(), Failure> {
    let colour = match style {
        Style::Terminal => render::Colour::Always,
        Style::Plain => render::Colour::Never,
    };
    let operations = if show.verbose { render::Operations::Shown } else { render::Operations::Hidden };
    let standing = match show.detail {
        HowMuch::Summary | HowMuch::Changed => vec![],
        HowMuch::Full => render::standing(plan, desired),
    };
    let detail = show.detail.into();
    let look = render::Look { colour, detail, operations, standing, ..render::Look::default() };
    let text = match show.output {
        PlanFormat::Text if verb == "destroy" && plan.is_empty() => "Nothing to destroy.\n".to_owned(),
        PlanFormat::Text => render::text(plan, &look),
        PlanFormat::Json => render::json::json(plan).map_err(|error| Failure::of(Code::Failed, &error))?,
        PlanFormat::Markdown => render::markdown(plan, &look),
    };
    out(&text)
}

/// How far a run is, on a terminal; runs that are over in a blink show nothing.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// Returns a bar that nothing is shown of yet.
    pub(super) fn new(style: Style) -> Self {
        let target = match style {
            Style::Terminal => ProgressDrawTarget::stderr(),
            Style::Plain => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Shows the progress.
    pub(super) fn show(&self, progress: &Progress<'_>) {
        if self.0.elapsed() < std::time::Duration::from_millis(500) {
            return;
        }
        self.0.set_prefix(match progress.phase {
            Phase::Applying => "applying",
            Phase::Verifying => "verifying",
            Phase::Undoing => "undoing",
        });
        self.0.set_length(u64::try_from(progress.total).unwrap_or(u64::MAX));
        self.0.set_position(u64::try_from(progress.done).unwrap_or(u64::MAX));
        self.0.set_message(progress.next.map_or_else(String::new, |op| op.id().to_string()));
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
