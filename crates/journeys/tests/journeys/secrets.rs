//! hurl.dev/docs/templates.html, "Secrets": what is secret is sent and never shown.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use safelight_journeys::{JourneyOutcome, Secret};

use crate::support::{go_with, options, server};

const SECRET: &str = "pä ss/w\"ord+1";

fn everything(outcome: &JourneyOutcome) -> String {
    let failure = outcome.failure.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{}\n{outcome:?}\n{failure}", serde_json::to_string_pretty(outcome).unwrap())
}

fn forms() -> Vec<String> {
    vec![
        SECRET.to_owned(),
        "p%C3%A4%20ss%2Fw%22ord%2B1".to_owned(),
        "p%c3%a4%20ss".to_owned(),
        "ss/w&quot;ord".to_owned(),
        "pä ss/w\\\"ord+1".to_owned(),
        STANDARD.encode(SECRET),
        // Inside of "ada:<secret>", without the letters that mix with the neighbours.
        STANDARD.encode(format!("ada:{SECRET}"))[8..22].to_owned(),
        "70c3a42073732f77".to_owned(),
    ]
}

#[tokio::test]
async fn a_secret_is_sent_and_shown_in_no_form() {
    let (address, _) = server().await;
    let mut options = options(address);
    options.secrets.insert("pass".to_owned(), Secret::from(SECRET));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    options.trace = Some(Arc::new(move |event| sink.lock().unwrap().push(format!("{event:?}"))));
    // Each check fails, so that it shows what it compared.
    let asserts = [
        "jsonpath \"$.query\" == \"\"",
        "jsonpath \"$.headers.authorization\" == \"\"",
        "jsonpath \"$.text\" == \"\"",
        "jsonpath \"$.base64\" == \"\"",
        "jsonpath \"$.text\" == \"{{pass}}\"",
        "variable \"pass\" == \"\"",
        "variable \"pass\" utf8Encode == hex,00;",
        "variable \"pass\" urlEncode == \"\"",
        "variable \"pass\" htmlEscape == \"\"",
        "variable \"pass\" toInt == 1",
        "body == \"{{pass}}\"",
        "url == \"{{pass}}\"",
    ];
    let text = format!(
        "POST {{{{base}}}}/echo\n[Query]\nq: {{{{pass}}}}\n[BasicAuth]\nada: {{{{pass}}}}\n[Options]\nretry: 1\nretry-interval: 1ms\n\
         {{\"p\": \"{{{{pass}}}}\"}}\nHTTP 200\n[Captures]\nmine: jsonpath \"$.text\"\n[Asserts]\n{}\n",
        asserts.join("\n")
    );
    let outcome = go_with(&text, &options).await;
    let step = &outcome.steps[0];
    assert_eq!(step.asserts.iter().filter(|assert| !assert.ok).count(), asserts.len());
    assert!(step.url.ends_with("/echo?q=***"), "{}", step.url);
    assert_eq!(step.asserts[1].actual, "string \"q=***\"");
    assert_eq!(outcome.captures["mine"], "{\"p\": \"***\"}");
    let shown = everything(&outcome) + &seen.lock().unwrap().join("\n") + &format!("{options:?}");
    for form in forms() {
        assert!(!shown.contains(&form), "{form:?} is shown in {shown}");
    }
}

// Capturing Response, "Redacting Secrets".
#[tokio::test]
async fn a_redacted_capture_is_hidden_from_then_on_and_before() {
    let (address, _) = server().await;
    let outcome = go_with(
        "GET {{base}}/echo?token=t0ps3cret\nHTTP 200\n[Asserts]\njsonpath \"$.query\" == \"token=t0ps3cret\"\n\n\
         GET {{base}}/echo?token=t0ps3cret\nHTTP 200\n[Captures]\ntoken: jsonpath \"$.query\" replace \"token=\" \"\" redact\n\n\
         GET {{base}}/echo\nAuthorization: Bearer {{token}}\nHTTP 200\n[Asserts]\n\
         jsonpath \"$.headers.authorization\" == \"Bearer {{token}}\"\njsonpath \"$.headers.authorization\" == \"x\"\n",
        &options(address),
    )
    .await;
    assert_eq!(outcome.captures["token"], "***");
    assert_eq!(outcome.steps.len(), 3);
    assert!(outcome.steps[2].asserts[1].ok, "the value itself is used");
    assert!(!everything(&outcome).contains("t0ps3cret"), "{}", everything(&outcome));
}

#[tokio::test]
async fn errors_of_transport_and_templates_are_redacted() {
    let (address, _) = server().await;
    let mut options = options(address);
    options.secrets.insert("host".to_owned(), "secret-host".into());
    for text in [
        "GET http://{{host}}.invalid:1/\n[Options]\nconnect-to: ::127.0.0.1:1\nHTTP 200\n",
        "GET {{host}}\nHTTP 200\n",
        "POST {{base}}/echo\n{\"a\": {{host}}}\nHTTP 200\n",
        "POST {{base}}/echo\nfile,../{{host}};\nHTTP 200\n",
        "GET {{base}}/text\n[Options]\nlocation: {{host}}\nHTTP 200\n",
    ] {
        let outcome = go_with(text, &options).await;
        assert!(!outcome.success, "{text}");
        assert!(!everything(&outcome).contains("secret-host"), "{}", everything(&outcome));
    }
}

#[tokio::test]
async fn a_password_in_an_address_is_not_shown() {
    let (address, _) = server().await;
    let text = format!(
        "GET http://ada:letmein@{address}/echo\nHTTP 200\n[Asserts]\njsonpath \"$.headers.authorization\" exists\n"
    );
    let outcome = go_with(&text, &options(address)).await;
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.steps[0].url, format!("http://ada:***@{address}/echo"));
    let text = text.replace("exists", "== \"\"") + "body == \"\"\n";
    let outcome = go_with(&text, &options(address)).await;
    let shown = everything(&outcome);
    assert!(!outcome.success && !shown.contains("letmein") && !shown.contains("bGV0bWVpb"), "{shown}");
}
