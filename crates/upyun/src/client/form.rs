//! Form uploads as a browser does them, and purging the CDN.
use reqwest::multipart::{Form, Part};
use serde::Deserialize;

use super::{Client, Error, MAX_ANSWER_BYTES};
use crate::date::format_date;
use crate::legacy::purge_authorization;
use crate::policy::{FormAnswer, SignedForm};

#[derive(Deserialize)]
struct PurgeAnswer {
    #[serde(default)]
    invalid_domain_of_url: Vec<String>,
}

impl Client {
    /// Uploads by a signed form. The operator's password is not used: this is what a browser can do.
    ///
    /// # Errors
    /// See [`Error`]. A policy with `return-url` answers 302, which is an error here.
    pub async fn form_upload(
        &self,
        form: &SignedForm,
        file_name: &str,
        content: Vec<u8>,
    ) -> Result<FormAnswer, Error> {
        let mut multipart = Form::new();
        for (name, value) in form.fields() {
            multipart = multipart.text(name, value.to_owned());
        }
        // Large-file mode wants the file last, and it does no harm otherwise.
        multipart = multipart.part("file", Part::bytes(content).file_name(file_name.to_owned()));
        let operation = format!("POST {} (form)", form.path());
        let request =
            self.inner().http.post(format!("{}{}", self.endpoint(), form.path())).multipart(multipart);
        let response = self.send(operation.clone(), request).await?;
        let body = self.whole(&operation, response, MAX_ANSWER_BYTES).await?;
        serde_json::from_slice(&body).map_err(|error| Error::Answer {
            operation,
            why: format!("it is not the documented JSON: {error}"),
        })
    }

    /// Drops files from the CDN's caches. The answer lists the URLs whose domain is not the bucket's; they were not
    /// purged. More than 600 URLs a minute are refused (406).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn purge<S: AsRef<str>>(&self, urls: &[S]) -> Result<Vec<String>, Error> {
        let inner = self.inner();
        let list: Vec<&str> = urls.iter().map(AsRef::as_ref).collect();
        let joined = list.join("\n");
        let date = format_date((inner.clock)());
        let authorization = purge_authorization(&inner.operator, &inner.bucket, &joined, &date);
        let request = inner
            .http
            .post(format!("{}/purge/", inner.purge_endpoint))
            .header("authorization", authorization)
            .header("date", date)
            .form(&[("purge", &joined)]);
        let operation = format!("purge of {} URLs", list.len());
        let response = self.send(operation.clone(), request).await?;
        let body = self.whole(&operation, response, MAX_ANSWER_BYTES).await?;
        let answer: PurgeAnswer = serde_json::from_slice(&body).map_err(|error| Error::Answer {
            operation,
            why: format!("it is not the documented JSON: {error}"),
        })?;
        Ok(answer.invalid_domain_of_url)
    }
}
