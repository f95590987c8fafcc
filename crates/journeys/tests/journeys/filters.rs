//! hurl.dev/docs/filters.html.

use crate::support::{fails, go, holds};

#[tokio::test]
async fn every_filter_changes_its_input_as_documented() {
    holds(
        "/sample?q=a%20b&r=<i>",
        r#"jsonpath "$.tags" count == 3
jsonpath "$.tags" first == "a"
jsonpath "$.tags" last == "c"
jsonpath "$.tags" nth 1 == "b"
jsonpath "$.tags" nth -1 == "c"
bytes count > 10
jsonpath "$.name" replace "A" "E" == "Eda"
jsonpath "$.name" replaceRegex /[ad]/ "x" == "Axx"
jsonpath "$.name" replaceRegex "(d)(a)" "$2$1" == "Aad"
jsonpath "$.name" regex /A(.)/ == "d"
jsonpath "$.name" regex "A(.)" == "d"
jsonpath "$.name" regex /x(.)/ not exists
jsonpath "$.nested.when" split "-" count == 3
jsonpath "$.nested.when" split "-" nth 0 toInt == 2024
jsonpath "$.age" toString == "36"
jsonpath "$.age" toFloat isFloat
jsonpath "$.ratio" toInt == 0
jsonpath "$.ip" split "." nth 3 toInt == 7
jsonpath "$.ratio" toString toFloat == 0.5
jsonpath "$.name" utf8Encode == hex,416461;
jsonpath "$.name" utf8Encode utf8Decode == "Ada"
jsonpath "$.name" utf8Encode toHex == "416461"
jsonpath "$.name" utf8Encode base64Encode == "QWRh"
jsonpath "$.name" utf8Encode base64Encode base64Decode utf8Decode == "Ada"
jsonpath "$.name" utf8Encode base64UrlSafeEncode base64UrlSafeDecode == hex,416461;
bytes charsetDecode "utf-8" contains "Ada"
bytes decode "iso-8859-1" contains "Ada"
url urlEncode contains "%3A//"
url urlEncode urlDecode == "{{base}}/sample?q=a%20b&r=<i>"
url urlQueryParam "q" == "a b"
url urlQueryParam "none" not exists
url htmlEscape contains "&lt;i&gt;"
url htmlEscape htmlUnescape endsWith "<i>"
body jsonpath "$.name" == "Ada"
jsonpath "$.nested.when" toDate "%+" dateFormat "%d/%m/%y" == "06/05/24"
jsonpath "$.nested.when" toDate "%Y-%m-%dT%H:%M:%SZ" format "%H:%M" == "07:08"
jsonpath "$.nested.when" toDate "%+" daysBeforeNow > 300
jsonpath "$.nested.when" toDate "%+" daysAfterNow < -300
cookie "session[Expires]" daysAfterNow > 0"#,
    )
    .await;
}

#[tokio::test]
async fn a_filter_refuses_what_it_cannot_take() {
    fails(
        "/sample",
        r#"jsonpath "$.name" count == 3
        jsonpath "$.empty" first == 1
        jsonpath "$.empty" last == 1
        jsonpath "$.tags" nth 3 == 1
        jsonpath "$.tags" nth -4 == 1
        jsonpath "$.name" nth 0 == "A"
        jsonpath "$.name" toInt == 1
        jsonpath "$.name" toFloat == 1.0
        jsonpath "$.tags" toString == "x"
        jsonpath "$.age" replace "3" "4" == 46
        jsonpath "$.name" toDate "%Y" exists
        jsonpath "$.name" dateFormat "%Y" == "x"
        jsonpath "$.name" jsonpath "$.x" == 1
        jsonpath "$.nested" jsonpath "$.id" exists
        jsonpath "$.name" base64Decode count == 99
        jsonpath "$.text" regex "(" exists
        jsonpath "$.name" utf8Encode decode "klingon" exists
        bytes location == "x"
        jsonpath "$.missing" count == 0
        jsonpath "$.missing" toInt not exists"#,
    )
    .await;
}

#[tokio::test]
async fn a_failed_filter_names_itself_its_input_and_its_place() {
    let outcome = go("GET {{base}}/sample\nHTTP 200\n[Asserts]\njsonpath \"$.name\" toInt == 1\n").await;
    let failure = outcome.failure.unwrap();
    assert_eq!((failure.line, failure.column), (4, 19));
    assert_eq!(failure.actual.as_deref(), Some("the filter toInt failed: \"Ada\" is no integer"));
}
