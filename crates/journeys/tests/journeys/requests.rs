//! What is sent: hurl.dev/docs/request.html.

use std::fs;

use safelight_journeys::Value;

use crate::support::{go, go_with, options, pass, server};

#[tokio::test]
async fn every_method_is_sent_as_written() {
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
        pass(&format!(
            "{method} {{{{base}}}}/echo\nHTTP 200\n[Asserts]\njsonpath \"$.method\" == \"{method}\"\n"
        ))
        .await;
    }
    pass("HEAD {{base}}/echo\nHTTP 200\n[Asserts]\nbytes count == 0\n").await;
}

// Request, "Query parameters".
#[tokio::test]
async fn query_parameters_are_encoded_and_join_those_of_the_address() {
    let outcome = pass(
        "GET {{base}}/echo?first=1\n[Query]\nname: a b&c\nempty:\n# a comment\nHTTP 200\n[Asserts]\n\
         jsonpath \"$.query\" == \"first=1&name=a%20b%26c&empty=\"\nurl endsWith \"/echo?first=1&name=a%20b%26c&empty=\"\n",
    )
    .await;
    assert!(
        outcome.steps[0].url.ends_with("/echo?first=1&name=a%20b%26c&empty="),
        "{}",
        outcome.steps[0].url
    );
    pass("GET {{base}}/echo\n[QueryStringParams]\nq: é\nHTTP 200\n[Asserts]\njsonpath \"$.query\" == \"q=%C3%A9\"\n").await;
}

// Request, "Form parameters".
#[tokio::test]
async fn forms_are_encoded_with_their_content_type() {
    for section in ["[Form]", "[FormParams]"] {
        pass(&format!(
            "POST {{{{base}}}}/echo\n{section}\nuser: ada lovelace\npass: a&b=c\nHTTP 200\n[Asserts]\n\
             jsonpath \"$.text\" == \"user=ada%20lovelace&pass=a%26b%3Dc\"\n\
             jsonpath \"$.headers['content-type']\" == \"application/x-www-form-urlencoded\"\n"
        ))
        .await;
    }
}

// Request, "Basic Authentication" and "Headers".
#[tokio::test]
async fn basic_authentication_and_headers_are_sent() {
    pass(
        "GET {{base}}/echo\nX-One: 1\nX-One: 2\nAccept: text/csv\n[BasicAuth]\nbob: secret\nHTTP 200\n[Asserts]\n\
         jsonpath \"$.headers.authorization\" == \"Basic Ym9iOnNlY3JldA==\"\n\
         jsonpath \"$.headers['x-one']\" == \"1 & 2\"\njsonpath \"$.headers.accept\" == \"text/csv\"\n",
    )
    .await;
    pass(
        "GET {{base}}/echo\nHTTP 200\n[Asserts]\njsonpath \"$.headers.accept\" == \"*/*\"\n\
         jsonpath \"$.headers['user-agent']\" startsWith \"safelight/\"\njsonpath \"$.headers.authorization\" not exists\n",
    )
    .await;
}

// Request, "Cookies"; Hurl File, "Cookie storage".
#[tokio::test]
async fn cookies_are_kept_across_entries_and_join_those_of_the_entry() {
    pass(
        "GET {{base}}/set\nHTTP 200\n\nGET {{base}}/echo\n[Cookies]\ntheme: dark\nlang: zh\nHTTP 200\n[Asserts]\n\
         jsonpath \"$.headers.cookie\" == \"sid=s1; theme=dark; lang=zh\"\n",
    )
    .await;
    // Each run begins with an empty jar.
    let (address, _) = server().await;
    let options = options(address);
    assert!(go_with("GET {{base}}/set\nHTTP 200\n", &options).await.success);
    let fresh = "GET {{base}}/echo\nHTTP 200\n[Asserts]\njsonpath \"$.headers.cookie\" not exists\n";
    assert!(go_with(fresh, &options).await.success);
}

// Request, "JSON body": implicit content type, placeholders escaped in strings and bare outside.
#[tokio::test]
async fn json_bodies_keep_their_form_and_escape_what_is_put_in() {
    let (address, _) = server().await;
    let mut options = options(address);
    options.variables.insert("quote".to_owned(), Value::from("say \"hi\"\n\\"));
    options.variables.insert("n".to_owned(), Value::from(42));
    options.variables.insert("flag".to_owned(), Value::from(true));
    let outcome = go_with(
        "POST {{base}}/echo\n{ \"q\": \"{{quote}}\",\n  \"n\": {{n}}, \"f\": [{{flag}}, null, 1.50] }\nHTTP 200\n[Asserts]\n\
         jsonpath \"$.headers['content-type']\" == \"application/json\"\n\
         jsonpath \"$.text\" jsonpath \"$.q\" == \"{{quote}}\"\n\
         jsonpath \"$.text\" jsonpath \"$.n\" == 42\njsonpath \"$.text\" contains \"1.50\"\n\
         jsonpath \"$.text\" contains \",\\n  \"\n",
        &options,
    )
    .await;
    assert_eq!(outcome.failure.map(|failure| failure.to_string()), None);

    let outcome = go_with("POST {{base}}/echo\n{\"q\": {{quote}}}\nHTTP 200\n", &options).await;
    let failure = outcome.failure.unwrap();
    assert!(failure.what.contains("no JSON number, boolean or null"), "{failure}");
    assert!(failure.hint.unwrap().contains("put quotes around it"));
}

// Request, "XML body", "GraphQL query", "Multiline string body", "Oneline string body".
#[tokio::test]
async fn multiline_bodies_are_sent_with_the_content_type_of_their_kind() {
    let cases = [
        ("```\nline 1\nline {{n}}\n```", "line 1\\nline 7\\n", None),
        ("```json\n{\"a\": {{n}}}\n```", "{\\\"a\\\": 7}\\n", Some("application/json")),
        ("```xml\n<a>{{n}}</a>\n```", "<a>7</a>\\n", Some("application/xml")),
        ("```raw\n{{n}} stays\n```", "\\u{7b}\\u{7b}n}} stays\\n", None),
        ("```graphql\n{ me { id } }\n```", "{\\\"query\\\":\\\"{ me { id } }\\\"}", Some("application/json")),
        (
            "```graphql\nquery Q($i: Int) { me { id } }\n\nvariables {\n\"i\": {{n}}}\n```",
            "{\\\"query\\\":\\\"query Q($i: Int) { me { id } }\\\",\\\"variables\\\":{\\n\\\"i\\\": 7}}",
            Some("application/json"),
        ),
        ("`one {{n}} line`", "one 7 line", None),
    ];
    for (body, expected, content_type) in cases {
        let content_type = match content_type {
            Some(content_type) => format!("jsonpath \"$.headers['content-type']\" == \"{content_type}\""),
            None => "jsonpath \"$.headers['content-type']\" not exists".to_owned(),
        };
        pass(&format!(
            "POST {{{{base}}}}/echo\n[Options]\nvariable: n=7\n{body}\nHTTP 200\n[Asserts]\n\
             jsonpath \"$.text\" == \"{expected}\"\n{content_type}\n"
        ))
        .await;
    }
}

// Request, "Base64 body", "Hex body", "File body".
#[tokio::test]
async fn bytes_are_sent_from_base64_hex_and_files() {
    let (address, _) = server().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data.bin"), [1_u8, 2, 255]).unwrap();
    let mut options = options(address);
    options.file_root = Some(folder.path().to_owned());
    for body in ["base64,AQL/;", "hex,0102ff;", "file,data.bin;"] {
        let text = format!(
            "PUT {{{{base}}}}/echo\n{body}\nHTTP 200\n[Asserts]\njsonpath \"$.base64\" == \"AQL/\"\n"
        );
        assert_eq!(go_with(&text, &options).await.failure, None, "{body}");
    }
    // An explicit type wins over the implicit one.
    let text = "POST {{base}}/echo\nContent-Type: application/vnd.api+json\n{}\nHTTP 200\n[Asserts]\n\
                jsonpath \"$.headers['content-type']\" == \"application/vnd.api+json\"\n";
    assert_eq!(go_with(text, &options).await.failure, None);
}

// Request, "Multipart Form Data".
#[tokio::test]
async fn multipart_parts_carry_names_types_and_bytes() {
    let (address, _) = server().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.png"), [0x89, b'P']).unwrap();
    fs::write(folder.path().join("b.dat"), "bb").unwrap();
    let mut options = options(address);
    options.file_root = Some(folder.path().to_owned());
    let text = r#"POST {{base}}/echo
[Multipart]
title: My photo
image: file,a.png;
other: file,b.dat; text/x-special
HTTP 200
[Asserts]
jsonpath "$.headers['content-type']" matches /^multipart\/form-data; boundary=safelight-[0-9a-f]{32}$/
jsonpath "$.text" contains "name=\"title\"\r\n\r\nMy photo\r\n"
jsonpath "$.text" contains "name=\"image\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n"
jsonpath "$.text" contains "filename=\"b.dat\"\r\nContent-Type: text/x-special\r\n\r\nbb\r\n"
jsonpath "$.text" matches /--safelight-[0-9a-f]{32}--\r\n$/
"#;
    assert_eq!(go_with(text, &options).await.failure.map(|failure| failure.to_string()), None);
}

#[tokio::test]
async fn a_content_type_of_the_entry_gets_the_boundary_of_the_parts() {
    pass(
        "POST {{base}}/echo\nContent-Type: multipart/mixed\n[Multipart]\na: b\nHTTP 200\n[Asserts]\n\
         jsonpath \"$.headers['content-type']\" matches /^multipart\\/mixed; boundary=safelight-[0-9a-f]+$/\n",
    )
    .await;
}

// Templates, "Types" and "Functions".
#[tokio::test]
async fn templates_render_variables_and_functions() {
    pass(
        "GET {{base}}/echo/{{newUuid}}\nX-Now: {{newDate}}\n[Options]\nvariable: f=1.0\nvariable: nothing=null\n\
         [Query]\nf: {{f}}\nn: {{nothing}}\nHTTP 200\n[Asserts]\n\
         jsonpath \"$.path\" replaceRegex /^.echo./ \"\" isUuid\njsonpath \"$.headers['x-now']\" isIsoDate\n\
         jsonpath \"$.query\" == \"f=1.0&n=null\"\n",
    )
    .await;
}

#[tokio::test]
async fn a_missing_variable_fails_the_step_before_anything_is_sent() {
    let (address, shared) = server().await;
    let outcome = go_with("GET {{base}}/echo?q={{missing}}\nHTTP 200\n", &options(address)).await;
    let failure = outcome.failure.unwrap();
    assert_eq!((failure.line, failure.column), (1, 23), "{failure}");
    assert!(failure.what.contains("the variable \"missing\" is not set"), "{failure}");
    assert!(failure.hint.is_some());
    assert_eq!(outcome.steps.len(), 1);
    assert_eq!(outcome.steps[0].status, None);
    assert_eq!(shared.hits.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn addresses_that_are_no_urls_and_bad_headers_fail_by_name() {
    let failure =
        go("GET {{x}}\n[Options]\nvariable: x=ftp://example.com\nHTTP 200\n").await.failure.unwrap();
    assert!(failure.what.contains("no http:// or https:// address"), "{failure}");
    let failure = go("GET {{base}}/echo\nX-A: {{x}}\n[Options]\nvariable: x=\"a\\nb\"\nHTTP 200\n")
        .await
        .failure
        .unwrap();
    assert!(failure.what.contains("no valid header"), "{failure}");
}

#[tokio::test]
async fn files_outside_of_the_root_are_not_sent() {
    let (address, shared) = server().await;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(folder.path().join("passwd"), "root").unwrap();
    let mut options = options(address);
    for (file_root, what) in [(Some(root), "lies outside of the file root"), (None, "has no file root")] {
        options.file_root = file_root;
        for request in ["file,../passwd;", "[Multipart]\nf: file,../passwd;"] {
            let failure = go_with(&format!("POST {{{{base}}}}/echo\n{request}\nHTTP 200\n"), &options)
                .await
                .failure
                .unwrap();
            assert!(failure.what.contains(what), "{failure}");
            assert!(failure.hint.is_some());
        }
        let text = "GET {{base}}/text\nHTTP 200\n[Asserts]\nbytes == file,../passwd;\n";
        let failure = go_with(text, &options).await.failure.unwrap();
        assert!(failure.actual.as_deref().unwrap().contains(what), "{failure}");
    }
    assert_eq!(shared.hits.load(std::sync::atomic::Ordering::SeqCst), 0);
}
