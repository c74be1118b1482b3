//! The files that a manifest was read from, and what stands at which place in them.

use std::sync::Arc;

use smol_str::SmolStr;

use super::Place;
use crate::resource::owner::Origin;

/// How many bytes stand between two checkpoints of [`Source::chars`].
const STRIDE: usize = 128;

/// All files of a manifest, in the order in which they were read.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
}

/// A file of a manifest.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name, as the user wrote it or as an `include` found it.
    pub name: SmolStr,
    /// Its text, without a byte order mark.
    pub text: Arc<str>,
    /// The byte that each line begins with.
    lines: Vec<usize>,
    /// How many characters begin before byte `n * STRIDE`: columns stay cheap in a file of one long line.
    chars: Vec<usize>,
    /// Whether every character is one byte, so that nothing needs counting.
    ascii: bool,
}

impl Sources {
    /// Adds a file and returns its number, which is [`Place::file`].
    pub fn add(&mut self, name: impl Into<SmolStr>, text: impl Into<Arc<str>>) -> usize {
        self.files.push(Source::new(name.into(), text.into()));
        self.files.len() - 1
    }

    /// Returns all files, in the order of their numbers.
    pub fn files(&self) -> &[Source] {
        &self.files
    }

    /// Returns the file with this number.
    pub fn get(&self, file: usize) -> Option<&Source> {
        self.files.get(file)
    }

    /// Returns the text at a place; empty when there is no such place.
    pub fn text(&self, place: Place) -> &str {
        self.get(place.file).and_then(|file| file.text.get(place.start..place.end)).unwrap_or_default()
    }

    /// Returns file, line and column of a place's first character.
    pub fn place_to_origin(&self, place: Place) -> Origin {
        let Some(source) = self.get(place.file) else {
            return Origin { file: SmolStr::new_static("?"), line: 1, column: 1 };
        };
        let (line, column) = source.line_and_column(place.start);
        Origin { file: source.name.clone(), line: number(line), column: number(column) }
    }
}

impl Source {
    fn new(name: SmolStr, text: Arc<str>) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(breaks).collect();
        let ascii = text.is_ascii();
        let mut before = 0;
        let mut chars = Vec::with_capacity(text.len() / STRIDE + 1);
        for stretch in text.as_bytes().chunks(STRIDE) {
            chars.push(before);
            before += beginnings(stretch);
        }
        chars.push(before);
        Self { name, text, lines, chars, ascii }
    }

    /// Returns line and column of a byte, both from 1, the column in characters.
    pub fn line_and_column(&self, byte: usize) -> (usize, usize) {
        let byte = byte.min(self.text.len());
        let line = self.line_of(byte);
        let column = self.chars_before(byte) - self.chars_before(self.line_start(line));
        (line + 1, column + 1)
    }

    /// Returns the byte where the given character of the text begins, the text's length when it is shorter.
    pub fn byte_of_char(&self, char: usize) -> usize {
        if self.ascii {
            return char.min(self.text.len());
        }
        let stretch = self.chars.partition_point(|before| *before <= char).saturating_sub(1);
        let from = stretch * STRIDE;
        let Some(before) = self.chars.get(stretch) else { return self.text.len() };
        let rest = self.text.as_bytes().get(from..).unwrap_or_default();
        let begins = rest.iter().enumerate().filter(|(_, byte)| is_beginning(**byte));
        begins.map(|(at, _)| from + at).nth(char - before).unwrap_or(self.text.len())
    }

    /// Returns the byte at a line and column, both from 1; the end of the line when it is shorter.
    pub fn byte_at(&self, line: usize, column: usize) -> usize {
        let line = line.saturating_sub(1);
        let start = self.line_start(line);
        let end = self.line_end(line);
        self.byte_of_char(self.chars_before(start) + column.saturating_sub(1)).min(end)
    }

    /// Returns the number of the line that a byte is on, from 0.
    pub(super) fn line_of(&self, byte: usize) -> usize {
        self.lines.partition_point(|start| *start <= byte).saturating_sub(1)
    }

    /// Returns the first byte of a line, counted from 0.
    pub(super) fn line_start(&self, line: usize) -> usize {
        self.lines.get(line).copied().unwrap_or(self.text.len())
    }

    /// Returns the byte behind a line's last, its line break left out.
    pub(super) fn line_end(&self, line: usize) -> usize {
        let start = self.line_start(line);
        let text = self.text.get(start..self.line_start(line + 1)).unwrap_or_default();
        start + text.trim_end_matches(['\r', '\n']).len()
    }

    /// Returns how many lines there are, the one behind the last line break counted.
    pub(super) fn line_count(&self) -> usize {
        self.lines.len()
    }

    fn chars_before(&self, byte: usize) -> usize {
        if self.ascii {
            return byte;
        }
        let stretch = byte / STRIDE;
        let before = self.chars.get(stretch).copied().unwrap_or(0);
        before + beginnings(self.text.as_bytes().get(stretch * STRIDE..byte).unwrap_or_default())
    }
}

fn beginnings(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| is_beginning(**byte)).count()
}

/// Whether a character begins with this byte: in UTF-8, all bytes but `10xxxxxx` (RFC 3629 section 3).
fn is_beginning(byte: u8) -> bool {
    byte & 0xC0 != 0x80
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, needle: &str, want: (usize, usize)) {
        let mut sources = Sources::default();
        sources.add("shop.yaml", text);
        let source = &sources.files()[0];
        let byte = text.find(needle).unwrap();

        assert_eq!(source.line_and_column(byte), want, "{text:?}");
        assert_eq!(source.byte_at(want.0, want.1), byte, "{text:?}");
        assert_eq!(source.byte_of_char(text[..byte].chars().count()), byte, "{text:?}");
    }

    #[test]
    fn a_place_has_a_line_and_a_column_in_characters() {
        check("x", "x", (1, 1));
        check("a: 1\nb: x\n", "x", (2, 4));
        check("a: 1\r\nb: x\r\n", "x", (2, 4));
        check("ä: ö\nß: x\n", "x", (2, 4));
        check(&format!("{}\n{}x", "ä".repeat(300), "🦀".repeat(300)), "x", (2, 301));
    }

    #[test]
    fn a_place_outside_of_the_text_degrades_to_its_end() {
        let mut sources = Sources::default();
        sources.add("shop.yaml", "a: 1\n");

        let origin = sources.place_to_origin(Place { file: 0, start: 70, end: 80 });
        let nowhere = sources.place_to_origin(Place { file: 1, start: 0, end: 0 });

        assert_eq!(origin.to_string(), "shop.yaml:2:1");
        assert_eq!(nowhere.to_string(), "?:1:1");
    }
}
