//! What is refused is refused when parsing, all of it, by line; nothing is skipped.

use safelight_journeys::{Journey, JourneyError};

fn refused(text: &str) -> Vec<(usize, usize, String)> {
    let error = Journey::parse("bad.hurl", text).unwrap_err();
    assert!(matches!(error, JourneyError::Unsupported(_)), "{error}");
    error.diagnostics().iter().map(|place| (place.line, place.column, place.message.clone())).collect()
}

#[test]
fn a_syntax_error_has_line_column_and_a_caret() {
    let error = Journey::parse("bad.hurl", "GET http://example.com\nHTTP 200\n[Asserts]\n\tstatus = 200\n")
        .unwrap_err();
    assert!(matches!(error, JourneyError::Syntax(_)));
    let place = &error.diagnostics()[0];
    assert_eq!((place.file.as_str(), place.line), ("bad.hurl", 4));
    assert_eq!(place.column, 9);
    let text = error.to_string();
    assert!(text.starts_with("bad.hurl:4:9: Parsing predicate"), "{text}");
    assert!(text.contains("\n4 | \tstatus = 200\n  | \t       ^"), "{text}");
}

#[test]
fn xpath_is_refused_as_query_and_filter() {
    let found = refused(
        "GET http://example.com\nHTTP 200\n[Captures]\nt: xpath \"string(//title)\"\n[Asserts]\nxpath \"//h1\" exists\n\
         body xpath \"//h2\" count == 1\n",
    );
    assert_eq!(
        found.iter().map(|(line, column, _)| (*line, *column)).collect::<Vec<_>>(),
        [(4, 4), (6, 1), (7, 6)]
    );
    assert!(found.iter().all(|(_, _, what)| what.contains("xpath") && what.contains("not supported")));
    let error = Journey::parse("x", "GET http://example.com\nHTTP 200\n[Asserts]\nxpath \"//h1\" exists\n")
        .unwrap_err();
    assert!(error.diagnostics()[0].hint.as_deref().unwrap().contains("libxml2"));
}

#[test]
fn bare_xml_is_refused_and_fenced_xml_is_not() {
    for text in ["POST http://example.com\n<a>1</a>\nHTTP 200\n", "GET http://example.com\nHTTP 200\n<a/>\n"]
    {
        let error = Journey::parse("x.hurl", text).unwrap_err();
        let place = &error.diagnostics()[0];
        assert!(place.excerpt.starts_with('<'), "{error}");
        assert_eq!(place.column, 1, "{error}");
        assert!(place.message.contains("bare XML"), "{error}");
        assert!(place.hint.as_deref().unwrap().contains("```xml"), "{error}");
    }
    Journey::parse("x.hurl", "POST http://example.com\n```xml\n<a>1</a>\n```\nHTTP 200\n").unwrap();
}

#[test]
fn every_option_without_meaning_here_is_refused() {
    for option in [
        "aws-sigv4: aws:amz:eu-central-1:foo",
        "cert: a.pem",
        "key: a.key",
        "digest: true",
        "fail-with-body: true",
        "http3: true",
        "limit-rate: 100",
        "negotiate: true",
        "netrc: true",
        "netrc-file: a",
        "netrc-optional: true",
        "no-header: Accept",
        "ntlm: true",
        "output: out.bin",
        "path-as-is: true",
        "pinnedpubkey: sha256//x",
        "proxy: localhost:3128",
        "repeat: -1",
        "tls-max: 1.2",
        "tls-min: 1.2",
        "unix-socket: a.sock",
    ] {
        let found = refused(&format!("GET http://example.com\n[Options]\n{option}\nHTTP 200\n"));
        let name = option.split(':').next().unwrap();
        assert_eq!(found.len(), 1, "{option}");
        assert_eq!((found[0].0, found[0].1), (3, 1), "{option}");
        assert!(found[0].2.contains(name), "{found:?}");
    }
}

#[test]
fn broken_paths_two_bodies_and_commands_in_comments_are_refused() {
    let found = refused(
        "GET http://example.com\nHTTP 200\n[Asserts]\njsonpath \"$.a[\" exists\nbody jsonpath \"b\" exists\n",
    );
    assert_eq!(found.iter().map(|(line, ..)| *line).collect::<Vec<_>>(), [4, 5]);
    assert!(found[0].2.contains("no JSONPath"));
    let found = refused("POST http://example.com\n[Form]\na: b\n{\"c\": 1}\nHTTP 200\n");
    assert!(found[0].2.contains("one body"), "{found:?}");
    let found = refused("# @cookie_storage_clear\nGET http://example.com\nHTTP 200\n");
    assert!(found[0].2.contains("experimental"), "{found:?}");
}

/// Pieces that a Hurl file is made of, whole and broken.
const PIECES: [&str; 34] = [
    "GET http://example.com",
    "POST ",
    "{{base}}/a",
    "HTTP 200",
    "HTTP *",
    "HTTP/2 ",
    "\n",
    "\n",
    "\n",
    "\r\n",
    " ",
    "\t",
    "[Asserts]",
    "[Captures]",
    "[Options]",
    "[Form]",
    "[Multipart]",
    "a: b",
    "f: file,a.png;",
    "jsonpath \"$.a\"",
    " == 1",
    " == \"x\"",
    "body",
    " contains ",
    "```json",
    "```",
    "{\"a\": [1, {{b}}",
    "}",
    "]",
    "<a>",
    "hex,0",
    "base64,YQ==;",
    "retry: ",
    "\\u{",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(3_000))]
    #[test]
    fn any_text_is_parsed_or_refused_with_a_place(picks in proptest::collection::vec(0..PIECES.len(), 0..24), cut in 0_usize..12) {
        let text: String = picks.iter().map(|pick| PIECES[*pick]).collect();
        let text: String = text.chars().take(text.chars().count().saturating_sub(cut)).collect();
        if let Err(error) = Journey::parse("any.hurl", &text) {
            proptest::prop_assert!(!error.diagnostics().is_empty());
            proptest::prop_assert!(error.diagnostics().iter().all(|place| place.line >= 1 && place.column >= 1));
            proptest::prop_assert!(error.to_string().contains('^'));
        }
    }
}

#[test]
fn an_empty_journey_is_refused_as_it_proves_nothing() {
    assert!(refused("")[0].2.contains("at least one request"));
    assert!(refused("# only a comment\n")[0].2.contains("at least one request"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = Journey::load(folder.path().join("none.hurl")).unwrap_err();
    assert!(matches!(error, JourneyError::Read { .. }) && error.to_string().contains("none.hurl"), "{error}");
    let path = folder.path().join("a.hurl");
    std::fs::write(&path, "\u{feff}GET http://example.com\r\nHTTP 200\r\n").unwrap();
    let journey = Journey::load(&path).unwrap();
    assert_eq!((journey.entries(), journey.folder()), (1, Some(folder.path())));
    assert!(journey.name().ends_with("a.hurl"));
}
