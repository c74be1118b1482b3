//! Problems as people read them: a line that editors jump to, the sentence, the lines of the manifest, the way out.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    Severity, SourceCode, SourceSpan, SpanContents, ThemeCharacters, ThemeStyles,
};

use super::Place;
use super::problem::{Problem, Problems};
use super::sources::{Source, Sources};

/// How many bytes a line may have to be shown whole.
const LINE_LIMIT: usize = 300;

/// How problems are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For pipes, logs and tests: ASCII, no colour, 100 columns; equal problems give equal bytes.
    Plain,
    /// For a terminal with colours.
    Colour {
        /// The terminal's width.
        columns: usize,
    },
    /// For a terminal whose user wants no colours.
    Monochrome {
        /// The terminal's width.
        columns: usize,
    },
}

/// Returns all problems as text, each with its place, the lines around it, and help.
pub fn render(problems: &Problems, style: Style) -> String {
    let handler = style.handler();
    let mut text = String::new();
    for shown in &problems.shown {
        // Writing to a `String` does not fail, and the sources give every span.
        if handler.render_report(&mut text, shown).is_err() {
            text.push_str(&shown.problem.message);
        }
        for elsewhere in &shown.elsewhere {
            let _ = handler.render_report(&mut text, elsewhere);
        }
        text.push('\n');
    }
    if problems.more > 0 {
        let _ = writeln!(text, "and {} more problems", problems.more);
    }
    text
}

impl Style {
    fn handler(self) -> GraphicalReportHandler {
        let (characters, styles, columns) = match self {
            Self::Plain => (ThemeCharacters::ascii(), ThemeStyles::none(), 100),
            Self::Colour { columns } => (ThemeCharacters::unicode(), ThemeStyles::ansi(), columns),
            Self::Monochrome { columns } => (ThemeCharacters::unicode(), ThemeStyles::none(), columns),
        };
        GraphicalReportHandler::new_themed(GraphicalTheme { characters, styles })
            .with_width(columns.max(40))
            .with_links(false)
            .with_context_lines(1)
            .without_syntax_highlighting()
    }
}

impl Diagnostic for Problems {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new("manifest"))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.shown.iter().flat_map(|shown| {
            let elsewhere = shown.elsewhere.iter().map(|elsewhere| elsewhere as &dyn Diagnostic);
            std::iter::once(shown as &dyn Diagnostic).chain(elsewhere)
        })))
    }
}

/// A problem as miette draws it: the labels of the first one's file.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) problem: Problem,
    snippet: Option<Snippet>,
    elsewhere: Vec<Elsewhere>,
}

impl Shown {
    pub(super) fn new(problem: Problem, sources: &Arc<Sources>) -> Self {
        let file = problem.labels.first().map(|(place, _)| place.file);
        let mut files: Vec<usize> = vec![];
        for (place, _) in &problem.labels {
            if Some(place.file) != file && !files.contains(&place.file) {
                files.push(place.file);
            }
        }
        let elsewhere = files.into_iter().filter_map(|file| {
            let snippet = Snippet::new(&problem, file, sources)?;
            Some(Elsewhere { sentence: format!("see also {}", snippet.place()), snippet })
        });
        let elsewhere = elsewhere.collect();
        Self { snippet: file.and_then(|file| Snippet::new(&problem, file, sources)), elsewhere, problem }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown {}

impl Diagnostic for Shown {
    // The first line of a report: `shop.yaml:7:14: error[manifest::unknown_key]`, as compilers write it, so that editors
    // find the place.
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let code = self.problem.code;
        Some(match &self.snippet {
            Some(snippet) => Box::new(format!("{}: error[{code}]", snippet.place())),
            None => Box::new(format!("error[{code}]")),
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.snippet.as_ref().and_then(Snippet::labels)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.snippet.as_ref().map(|snippet| snippet as _)
    }
}

/// The labels of a problem that are in another file.
#[derive(Debug, Clone)]
struct Elsewhere {
    sentence: String,
    snippet: Snippet,
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Elsewhere {}

impl Diagnostic for Elsewhere {
    fn severity(&self) -> Option<Severity> {
        Some(Severity::Advice)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.snippet.labels()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.snippet)
    }
}

/// A file with the labels that a problem has in it, each cut to its first line.
#[derive(Debug, Clone)]
struct Snippet {
    sources: Arc<Sources>,
    file: usize,
    labels: Vec<(Place, String)>,
    /// The bytes to show of a line that is too long to be shown; `None` shows whole lines.
    window: Option<Range<usize>>,
}

impl Snippet {
    fn new(problem: &Problem, file: usize, sources: &Arc<Sources>) -> Option<Self> {
        let source = sources.get(file)?;
        let here = problem.labels.iter().filter(|(place, _)| place.file == file);
        let labels = here.map(|(place, label)| {
            let start = place.start.min(source.text.len());
            let end = place.end.min(source.line_end(source.line_of(start))).max(start);
            (Place { file, start, end }, label.clone())
        });
        let mut labels: Vec<_> = labels.collect();
        let window = window(source, &labels);
        if let Some(window) = &window {
            labels.retain(|(place, _)| window.contains(&place.start) || place.start == window.end);
            for (place, _) in &mut labels {
                place.end = place.end.min(window.end);
            }
        }
        Some(Self { labels, sources: Arc::clone(sources), file, window })
    }

    fn place(&self) -> String {
        let place = self.labels.first().map(|(place, _)| *place);
        let place = place.unwrap_or(Place { file: self.file, start: 0, end: 0 });
        self.sources.place_to_origin(place).to_string()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        // A file that could not be read has no lines to show.
        if self.sources.get(self.file)?.text.is_empty() {
            return None;
        }
        Some(Box::new(self.labels.iter().enumerate().map(|(index, (place, label))| {
            let label = Some(label.clone()).filter(|label| !label.is_empty());
            let span = SourceSpan::from(place.start..place.end);
            if index == 0 {
                LabeledSpan::new_primary_with_span(label, span)
            } else {
                LabeledSpan::new_with_span(label, span)
            }
        })))
    }
}

/// Returns what to show around the first label when a line there is too long: miette shows whole lines, and cannot
/// indent a mark by more than 65,535 columns.
fn window(source: &Source, labels: &[(Place, String)]) -> Option<Range<usize>> {
    let lines = labels.iter().map(|(place, _)| source.line_of(place.start));
    let mut around = lines.flat_map(|line| line.saturating_sub(1)..=line + 1);
    let is_long = |line| source.line_end(line) - source.line_start(line) > LINE_LIMIT;
    if !around.any(is_long) {
        return None;
    }
    let (first, _) = labels.first()?;
    let line = source.line_of(first.start);
    let start = source.text.floor_char_boundary(first.start.saturating_sub(LINE_LIMIT / 4));
    let end = source.text.floor_char_boundary(first.start + LINE_LIMIT / 4);
    Some(start.max(source.line_start(line))..end.min(source.line_end(line)))
}

impl SourceCode for Snippet {
    // miette's own implementation counts lines from the beginning of the text for every span; ours looks them up.
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let source = self.sources.get(self.file).ok_or(MietteError::OutOfBounds)?;
        let first = source.line_of(span.offset());
        let last = source.line_of(span.offset() + span.len());
        let shown = first.saturating_sub(before);
        // Without lines before it, miette asks where the span itself stands.
        let (start, column) = if before == 0 {
            (span.offset(), source.line_and_column(span.offset()).1 - 1)
        } else {
            (source.line_start(shown), 0)
        };
        let end = source.line_end(last.saturating_add(after).min(source.line_count() - 1)).max(start);
        let (start, end) = match &self.window {
            Some(window) if before > 0 => (window.start, window.end),
            Some(window) => (start, window.end.max(start)),
            None => (start, end),
        };
        let shown = if self.window.is_some() { first } else { shown };
        let bytes = source.text.as_bytes().get(start..end).ok_or(MietteError::OutOfBounds)?;
        Ok(Box::new(MietteSpanContents::new_named(
            source.name.to_string(),
            bytes,
            (start, end - start).into(),
            shown,
            column,
            source.line_count(),
        )))
    }
}
