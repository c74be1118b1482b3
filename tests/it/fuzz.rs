//! Whatever is given as a manifest gets an answer: a manifest or its problems, soon, and never a panic.

use std::time::{Duration, Instant};

use netform::manifest::problem::{Style, render};
use proptest::prelude::*;

use super::diagnostics::manifests;

/// How long any answer may take, in a debug build on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

/// Asks for an answer, and checks that every problem is shown at a place that there is.
#[track_caller]
fn check(bytes: &[u8]) {
    let begin = Instant::now();
    let answer = netform::manifest::parse([("netform.yaml".to_owned(), bytes.to_vec())]);
    if let Err(problems) = answer {
        assert!(problems.count() > 0);
        assert!(!render(&problems, Style::Plain).is_empty());
        assert!(problems.records().iter().all(|record| record.at.is_some()));
        for (place, _) in problems.list().flat_map(|problem| &problem.labels) {
            let text = &problems.sources().get(place.file).unwrap().text;
            assert!(text.get(place.start..place.end).is_some(), "{place:?} is no place of {text:?}");
        }
    }
    assert!(begin.elapsed() < LIMIT, "{} bytes took {:?}", bytes.len(), begin.elapsed());
}

/// Returns the text of a valid or an invalid manifest.
fn corpus() -> impl Strategy<Value = Vec<u8>> {
    let paths = [manifests("testdata/manifests/valid"), manifests("testdata/manifests/invalid")].concat();
    let texts: Vec<_> = paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect();
    prop::sample::select(texts)
}

/// Returns something that YAML makes much of.
fn scrap() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "? ",
        ",",
        "\n",
        "\n  ",
        "\t",
        "#",
        "&a ",
        "*a",
        "<<: ",
        "!x ",
        "|\n",
        ">-\n",
        "'",
        "\"",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "~",
        "null",
        "1e9",
        "0x1F",
        ".inf",
        "-0",
        "10.0.0.0/8",
        "::",
        "@",
        "\r\n",
        "\r",
        "\u{85}",
        "\u{2028}",
        "\u{FEFF}",
        "ä",
        "🦀",
        "\0",
        "\u{7f}",
        "networks:",
        "eth0",
    ];
    prop_oneof![
        4 => prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

/// Returns a manifest with some stretches replaced.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, scrap()), 1..5);
    (corpus(), edits).prop_map(|(mut text, edits)| {
        for (index, length, scrap) in edits {
            let start = index.index(text.len() + 1);
            let end = (start + length).min(text.len());
            text.splice(start..end, scrap);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_manifest_gets_an_answer(text in mutated()) {
        check(&text);
    }

    #[test]
    fn scraps_of_yaml_get_an_answer(scraps in prop::collection::vec(scrap(), 0..40)) {
        check(&scraps.concat());
    }

    #[test]
    fn any_bytes_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }
}

#[test]
fn huge_and_deep_texts_get_an_answer() {
    const SIZE: usize = 1 << 17;
    let repeated = |text: &str| text.repeat(SIZE / text.len());

    check(&"[".repeat(10 << 20).into_bytes());
    for text in [
        "[", "{", "- ", "? ", "a: ", "&a ", "&a [", "[[],", "{a: ", "'", "\"", "|\n", "\n", "!a ", "[a,",
        "{a,",
    ] {
        check(repeated(text).as_bytes());
    }
    check(format!("netform: 1\nproject: [{}x]\n", repeated("x, ")).as_bytes());
    check(format!("netform: 1\nproject: shop\nnetworks: {{{}}}\n", repeated("ä: 1, ")).as_bytes());
    check(format!("netform: 1\nproject: shop\nnetworks: [{}]\n", repeated("&a x, *a, ")).as_bytes());
    let keys: String = (0..10_000).map(|key| format!("k{key}: 1\n")).collect();
    check(keys.as_bytes());
    check(format!("x: &x\n{}y: {{<<: [*x, *x]}}\n", keys.replace('k', "  k")).as_bytes());
    check(format!("netform: 1\nproject: {}\n", repeated("p")).as_bytes());
    check(format!("{}: 1\n", repeated("netform ")).as_bytes());
}
