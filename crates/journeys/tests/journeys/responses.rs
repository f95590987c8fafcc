//! What is checked and captured: hurl.dev/docs/response.html, asserting-response.html, capturing-response.html.

use safelight_journeys::Value;

use crate::support::{fails, go, go_with, holds, options, pass, server};

// Asserting Response, "Version - Status".
#[tokio::test]
async fn version_and_status_are_checked_before_anything_else() {
    pass("GET {{base}}/text\nHTTP/1.1 200\n\nGET {{base}}/status/404\nHTTP *\n\nGET {{base}}/status/500\n")
        .await;

    let outcome =
        go("GET {{base}}/status/404\nHTTP 200\n[Captures]\nx: jsonpath \"$.x\"\n[Asserts]\nstatus == 1\n")
            .await;
    let failure = outcome.failure.unwrap();
    assert_eq!((failure.line, failure.column), (2, 6), "{failure}");
    assert_eq!(failure.expected.as_deref(), Some("status 200"));
    assert_eq!(failure.actual.as_deref(), Some("status 404"));
    assert_eq!(
        outcome.steps[0].asserts.len(),
        1,
        "a wrong status ends the step: captures and asserts are left out"
    );

    let failure = go("GET {{base}}/text\nHTTP/2 200\n").await.failure.unwrap();
    assert_eq!(failure.actual.as_deref(), Some("HTTP version 1.1"));
    assert!(failure.hint.unwrap().contains("TLS"));
}

#[tokio::test]
async fn a_redirect_is_not_followed_unless_asked_for_and_the_failure_says_so() {
    pass("GET {{base}}/see-other\nHTTP 303\nLocation: /echo\n").await;
    let failure = go("GET {{base}}/see-other\nHTTP 200\n").await.failure.unwrap();
    assert!(failure.hint.unwrap().contains("location: true"));
}

// Asserting Response, "Headers": the value must be one of the header's values.
#[tokio::test]
async fn implicit_headers_match_one_of_the_values() {
    pass("GET {{base}}/sample\nHTTP 200\nContent-Type: application/json\nX-Many: two\nx-many: one\n").await;
    let failure = go("GET {{base}}/sample\nHTTP 200\nX-Many: three\n").await.failure.unwrap();
    assert_eq!(failure.line, 3);
    assert_eq!(failure.actual.as_deref(), Some("one | two"));
    let failure = go("GET {{base}}/sample\nHTTP 200\nX-None: 1\n").await.failure.unwrap();
    assert_eq!(failure.actual.as_deref(), Some("no such header"));
}

// Asserting Response, "Body": compared letter by letter.
#[tokio::test]
async fn implicit_bodies_are_compared_letter_by_letter() {
    pass("GET {{base}}/text\nHTTP 200\n`hello world`\n").await;
    pass("GET {{base}}/text\n[Options]\nvariable: who=world\nHTTP 200\n`hello {{who}}`\n").await;
    pass("GET {{base}}/bytes\nHTTP 200\nhex,cafebabe;\n").await;
    pass("GET {{base}}/bytes\nHTTP 200\nbase64,yv66vg==;\n").await;
    pass("GET {{base}}/gzip\nHTTP 200\n`squeezed`\n").await;
    pass("GET {{base}}/latin\nHTTP 200\n`é`\n").await;

    let failure = go("GET {{base}}/text\nHTTP 200\n```\nhello world\n```\n").await.failure.unwrap();
    assert!(failure.hint.unwrap().contains("white space"));
    let failure = go("GET {{base}}/bytes\nHTTP 200\nhex,cafe;\n").await.failure.unwrap();
    assert_eq!(failure.actual.as_deref(), Some("4 bytes cafebabe"));
    let failure = go("GET {{base}}/bytes\nHTTP 200\n`text`\n").await.failure.unwrap();
    assert!(failure.actual.unwrap().contains("not valid UTF-8"));
}

#[tokio::test]
async fn the_same_json_in_another_form_fails_and_the_hint_says_why() {
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "{\"a\":1,\"b\":2}" }));
    let address = crate::support::serve(app).await;
    assert!(go_with("GET {{base}}/\nHTTP 200\n{\"a\":1,\"b\":2}\n", &options(address)).await.success);
    let failure =
        go_with("GET {{base}}/\nHTTP 200\n{\"b\": 2, \"a\": 1}\n", &options(address)).await.failure.unwrap();
    assert!(failure.hint.unwrap().contains("jsonpath"));
}

#[tokio::test]
async fn bodies_compare_with_files() {
    let (address, _) = server().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("same"), [0xca, 0xfe, 0xba, 0xbe]).unwrap();
    std::fs::write(folder.path().join("other"), [0]).unwrap();
    let mut options = options(address);
    options.file_root = Some(folder.path().to_owned());
    let text = "GET {{base}}/bytes\nHTTP 200\n[Asserts]\nbytes == file,same;\nbytes != file,other;\n";
    assert_eq!(go_with(text, &options).await.failure, None);
    assert_eq!(go_with("GET {{base}}/bytes\nHTTP 200\nfile,same;\n", &options).await.failure, None);
    assert!(!go_with("GET {{base}}/bytes\nHTTP 200\nfile,other;\n", &options).await.success);
}

// Asserting Response, "Explicit asserts": one query after the other.
#[tokio::test]
async fn every_query_yields_its_value() {
    holds(
        "/sample",
        r#"status == 200
status < 300
version == "1.1"
url endsWith "/sample"
url startsWith "{{base}}"
ip == "127.0.0.1"
redirects count == 0
header "Content-Type" == "application/json"
header "x-many" count == 2
header "X-Many" contains "two"
header "X-None" not exists
cookie "session" == "abc123"
cookie "session[Value]" == "abc123"
cookie "session[Path]" == "/"
cookie "session[Domain]" == "example.com"
cookie "session[Max-Age]" == 600
cookie "session[SameSite]" == "Lax"
cookie "session[Expires]" isDate
cookie "session[Expires]" dateFormat "%Y-%m-%d" == "2030-01-13"
cookie "session[HttpOnly]" exists
cookie "session[Secure]" exists
cookie "plain[Secure]" not exists
cookie "plain[Max-Age]" not exists
cookie "none" not exists
body contains "Ada"
bytes count > 100
rawbytes startsWith hex,7b;
jsonpath "$.name" == "Ada"
regex "\"age\":(\\d+)" == "36"
regex /"age":(\d+)/ toInt == 36
regex /nothing (\d+)/ not exists
variable "base" startsWith "http://127.0.0.1:"
variable "unset" not exists
duration < 5000
certificate "Subject" not exists"#,
    )
    .await;
    // Asserting Response, "SHA-256 assert", "MD5 assert".
    holds(
        "/text",
        "sha256 == hex,b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9;\n\
         md5 == hex,5eb63bbbe01eeed093cb22bb8f5acdc3;",
    )
    .await;
    fails(
        "/sample",
        "status == 404\nversion == \"2\"\nheader \"X-None\" exists\ncookie \"none\" exists\nbody == \"\"",
    )
    .await;
}

// Asserting Response, "Raw bytes assert" and "Bytes assert".
#[tokio::test]
async fn rawbytes_are_as_sent_and_bytes_are_decoded() {
    holds("/gzip", "rawbytes startsWith hex,1f8b;\nbytes == hex,73717565657a6564;\nbody == \"squeezed\"")
        .await;
}

// Asserting Response, "JSONPath assert": one node is its value, several are a list, none is nothing.
#[tokio::test]
async fn jsonpath_results_are_coerced_as_documented() {
    holds(
        "/sample",
        r#"jsonpath "$.tags" count == 3
jsonpath "$.tags[*]" count == 3
jsonpath "$.tags[0]" == "a"
jsonpath "$.people[?@.age > 10].name" == "Cy"
jsonpath "$.people[*].name" contains "Bo"
jsonpath "$..age" count == 3
jsonpath "$.none" == null
jsonpath "$.missing" not exists
jsonpath "$.empty" isEmpty
jsonpath "$.empty[*]" not exists
jsonpath "$.big" == 18446744073709551615
jsonpath "$.nested" isObject"#,
    )
    .await;
    pass(
        "GET {{base}}/sample\n[Options]\nno-jsonpath-coercion: true\nHTTP 200\n[Asserts]\n\
         jsonpath \"$.name\" count == 1\njsonpath \"$.missing\" isEmpty\njsonpath \"$.name\" nth 0 == \"Ada\"\n",
    )
    .await;
    let failure =
        go("GET {{base}}/text\nHTTP 200\n[Asserts]\njsonpath \"$.a\" == 1\n").await.failure.unwrap();
    assert!(failure.actual.unwrap().contains("not valid JSON"));
}

// Capturing Response.
#[tokio::test]
async fn captures_are_variables_for_later_asserts_and_entries() {
    let outcome = pass(
        "GET {{base}}/sample\nHTTP 200\n[Captures]\nid: jsonpath \"$.nested.id\"\nage: jsonpath \"$.age\"\n\
         tags: jsonpath \"$.tags\"\nname_of_{{age}}: jsonpath \"$.name\" replace \"A\" \"I\"\n[Asserts]\n\
         jsonpath \"$.nested.id\" == \"{{id}}\"\njsonpath \"$.age\" == {{age}}\njsonpath \"$.tags\" == {{tags}}\n\n\
         PUT {{base}}/echo/{{id}}\n{\"age\": {{age}}}\nHTTP 200\n[Asserts]\njsonpath \"$.path\" endsWith \"{{id}}\"\n\
         jsonpath \"$.text\" == \"{\\\"age\\\": 36}\"\n",
    )
    .await;
    assert_eq!(outcome.captures["age"], "36");
    assert_eq!(outcome.captures["tags"], "[a, b, c]");
    assert_eq!(outcome.captures["name_of_36"], "Ida");
}

#[tokio::test]
async fn a_capture_that_finds_nothing_fails_the_step() {
    for (capture, what) in [
        ("x: jsonpath \"$.missing\"", "the response has no such value"),
        ("x: body regex /(\\d{99})/", "the last filter found nothing"),
        ("x: jsonpath \"$.age\" redact", "is to be redacted and is a integer"),
        ("x: jsonpath \"$.name\" toInt", "the filter toInt failed"),
    ] {
        let outcome = go(&format!("GET {{{{base}}}}/sample\nHTTP 200\n[Captures]\n{capture}\n")).await;
        let failure = outcome.failure.unwrap();
        assert!(failure.what.contains(what), "{failure}");
        assert_eq!(failure.line, 4);
        assert_eq!(outcome.steps[0].status, Some(200));
        assert!(outcome.steps[0].error.is_some());
    }
}

#[tokio::test]
async fn every_assert_is_evaluated_and_the_first_failure_is_named_with_the_count() {
    let outcome = go(
        "GET {{base}}/sample\nHTTP 200\n[Asserts]\njsonpath \"$.age\" == 36\njsonpath \"$.age\" > 40 # too young\n\
         jsonpath \"$.name\" == \"Bob\"\n\nGET {{base}}/echo\nHTTP 200\n",
    )
    .await;
    let failure = outcome.failure.clone().unwrap();
    assert_eq!((failure.line, failure.column, failure.step), (5, 1, 1));
    assert!(failure.what.starts_with("`jsonpath \"$.age\" > 40"), "{failure}");
    assert!(failure.what.ends_with("(and 1 more)"), "{failure}");
    assert_eq!(failure.expected.as_deref(), Some("> integer 40"));
    assert_eq!(failure.actual.as_deref(), Some("integer 36"));
    assert_eq!(outcome.steps.len(), 1, "a failed step ends the journey");
    let oks: Vec<bool> = outcome.steps[0].asserts.iter().map(|assert| assert.ok).collect();
    assert_eq!(oks, [true, true, false, false]);
}

#[tokio::test]
async fn the_body_of_an_answer_may_not_be_endless() {
    let (address, _) = server().await;
    let mut options = options(address);
    options.max_body_bytes = 50_000;
    let failure = go_with("GET {{base}}/huge\nHTTP 200\n", &options).await.failure.unwrap();
    assert!(failure.what.contains("larger than 50000 bytes"), "{failure}");
    options.max_body_bytes = 100_000;
    let outcome = go_with("GET {{base}}/huge\nHTTP 200\n[Asserts]\nbody == \"x\"\n", &options).await;
    let shown = outcome.failure.unwrap().actual.unwrap();
    assert!(shown.len() < 2_100 && shown.contains("more bytes"), "long values are cut when shown");
}

#[tokio::test]
async fn outcomes_serialize_with_milliseconds() {
    let (address, _) = server().await;
    let mut options = options(address);
    options.variables.insert("x".to_owned(), Value::from(1));
    let outcome = go_with("GET {{base}}/text\nHTTP 200\n[Asserts]\nbody == \"no\"\n", &options).await;
    let json = serde_json::to_value(&outcome).unwrap();
    assert_eq!(json["success"], false);
    assert!(json["duration_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(json["steps"][0]["asserts"][1]["ok"], false);
    assert_eq!(json["failure"]["line"], 4);
}
