//! hurl.dev/docs/asserting-response.html, "Predicates".

use crate::support::{fails, go, holds};

#[tokio::test]
async fn comparisons_hold_across_integers_and_floats() {
    holds(
        "/sample",
        r#"jsonpath "$.age" == 36
jsonpath "$.age" == 36.0
jsonpath "$.age" != 37
jsonpath "$.age" > 35.5
jsonpath "$.age" >= 36
jsonpath "$.age" < 37
jsonpath "$.age" <= 36
jsonpath "$.ratio" == 0.5
jsonpath "$.big" > 5
jsonpath "$.name" < "Bob"
jsonpath "$.ok" == true
jsonpath "$.name" not == "Bob"
jsonpath "$.people[0].name" == "Bo"
cookie "session[Expires]" > {{newDate}}"#,
    )
    .await;
    fails(
        "/sample",
        r#"jsonpath "$.age" == 35
        jsonpath "$.age" == "36"
        jsonpath "$.age" != 36.0
        jsonpath "$.age" > 36
        jsonpath "$.age" >= 36.5
        jsonpath "$.age" < 36
        jsonpath "$.age" <= 35
        jsonpath "$.name" > 1
        jsonpath "$.ok" == "true"
        jsonpath "$.none" == false
        jsonpath "$.missing" == null
        jsonpath "$.missing" != 1"#,
    )
    .await;
}

#[tokio::test]
async fn texts_bytes_and_lists_are_searched() {
    holds(
        "/sample",
        r#"jsonpath "$.name" startsWith "A"
jsonpath "$.name" endsWith "da"
jsonpath "$.name" contains "d"
jsonpath "$.name" matches "^A.a$"
jsonpath "$.name" matches /(?i)^ADA$/
jsonpath "$.name" not contains "x"
jsonpath "$.tags" contains "b"
jsonpath "$.tags" includes "b"
jsonpath "$.tags" not includes "z"
bytes contains hex,416461;
bytes endsWith hex,7d;
bytes not startsWith hex,00;
jsonpath "$.missing" not contains "x""#,
    )
    .await;
    fails(
        "/sample",
        r#"jsonpath "$.name" startsWith "B"
        jsonpath "$.name" endsWith "x"
        jsonpath "$.name" contains "x"
        jsonpath "$.name" matches /^B/
        jsonpath "$.name" matches "("
        jsonpath "$.tags" contains "z"
        jsonpath "$.tags" includes "z"
        jsonpath "$.name" includes "A"
        bytes startsWith hex,00;
        bytes contains hex,00;
        jsonpath "$.missing" contains "x""#,
    )
    .await;
}

#[tokio::test]
async fn types_and_formats_are_recognised() {
    holds(
        "/sample",
        r#"jsonpath "$.name" exists
jsonpath "$.none" exists
jsonpath "$.age" isInteger
jsonpath "$.big" isInteger
jsonpath "$.ratio" isFloat
jsonpath "$.age" isNumber
jsonpath "$.ratio" isNumber
jsonpath "$.ok" isBoolean
jsonpath "$.name" isString
jsonpath "$.tags" isCollection
jsonpath "$.nested" isCollection
jsonpath "$.tags" isList
jsonpath "$.nested" isObject
bytes isList
jsonpath "$.empty" isEmpty
jsonpath "$.text" isEmpty
jsonpath "$.nested.when" isIsoDate
jsonpath "$.nested.when" toDate "%Y-%m-%dT%H:%M:%SZ" isDate
jsonpath "$.nested.id" isUuid
jsonpath "$.ip" isIpv4
jsonpath "$.ip6" isIpv6
jsonpath "$.ip" not isIpv6
jsonpath "$.name" not isInteger"#,
    )
    .await;
    fails(
        "/sample",
        r#"jsonpath "$.missing" exists
        jsonpath "$.name" not exists
        jsonpath "$.ratio" isInteger
        jsonpath "$.age" isFloat
        jsonpath "$.name" isNumber
        jsonpath "$.name" isBoolean
        jsonpath "$.age" isString
        jsonpath "$.name" isCollection
        jsonpath "$.nested" isList
        jsonpath "$.tags" isObject
        jsonpath "$.tags" isEmpty
        jsonpath "$.name" isIsoDate
        jsonpath "$.nested.when" isDate
        jsonpath "$.name" isUuid
        jsonpath "$.ip6" isIpv4
        jsonpath "$.ip" isIpv6"#,
    )
    .await;
}

// A value of a type that the predicate does not take fails, also with `not`: "not contains" must not hold just
// because a number cannot contain anything.
#[tokio::test]
async fn a_wrong_type_fails_with_and_without_not() {
    fails(
        "/sample",
        r#"jsonpath "$.age" contains "3"
        jsonpath "$.age" not contains "x"
        jsonpath "$.age" not matches /x/
        jsonpath "$.ok" not startsWith "x"
        jsonpath "$.age" isEmpty
        jsonpath "$.age" not isEmpty
        jsonpath "$.age" not isUuid"#,
    )
    .await;
    let outcome =
        go("GET {{base}}/sample\nHTTP 200\n[Asserts]\njsonpath \"$.age\" not contains \"x\"\n").await;
    let failure = outcome.failure.unwrap();
    assert_eq!(failure.expected.as_deref(), Some("not contains string \"x\""));
    assert_eq!(failure.actual.as_deref(), Some("integer 36, a type this predicate does not take"));
}

#[tokio::test]
async fn operands_may_be_multiline_base64_and_variables() {
    holds(
        "/text",
        "bytes == base64,aGVsbG8gd29ybGQ=;\nbody not == ```\nhello world\n```\nbody == \"hello world\"",
    )
    .await;
    fails("/text", "body == {{unset}}").await;
}
