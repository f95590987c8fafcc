//! A bucket at Upyun, and the CDN in front of it.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::{StreamExt, TryStreamExt};
use safelight_upyun::{
    Body, CallbackVerifier, CdnUrls, Client, Delete, Error, FormPolicy, Operator, PutOptions, SignedForm,
};
use tokio::io::AsyncReadExt;

use super::{Content, Meta, ObjectError, StoredObject};
use crate::config::UpyunConfig;
use crate::images::VARIANTS;

const CHUNK: usize = 256 * 1024;
/// Longest wait for the CDN to begin its answer.
const CDN_ANSWER: Duration = Duration::from_secs(20);
/// Health does not ask a remote service more often.
const FRESH: Duration = Duration::from_secs(10);
/// Whether the operator may write and delete is tried this often while it may.
const RIGHTS_FRESH: Duration = Duration::from_secs(900);
/// What is written for that. Always the same: an operator who may not delete leaves one small file, not one each time.
const PROBE: &str = "/probe/filmtrip";
const DAY: u64 = 86_400;
/// Upyun forgets 600 URLs a minute and refuses the rest. Some are left for other instances, and for people at the console.
const PURGES: usize = 560;
const PURGE_MINUTE: Duration = Duration::from_secs(60);
/// How long a signed URL of a domain with hot-link protection is good at least: readers of the feed show its photos for
/// some days.
const TOKEN_DAYS: u64 = 7;

/// What FilmTrip needs of Upyun.
pub struct Upyun {
    client: Client,
    operator: Operator,
    cdn: CdnUrls,
    http: reqwest::Client,
    styles: Option<[String; 3]>,
    notify_url: Option<String>,
    /// Proves notices; none when they are not expected at all.
    pub verifier: CallbackVerifier,
    /// Whether browsers upload straight to the bucket.
    pub direct: bool,
    /// Whether new photos are shown by the styles.
    pub processing: bool,
    probed: Mutex<Option<(Instant, Result<(), String>)>>,
    purged: Mutex<Purges>,
    rights: Mutex<Option<Rights>>,
    trying_rights: AtomicBool,
}

/// What came of the last try to write and delete, and when to try again.
struct Rights {
    outcome: Result<(), String>,
    due: Instant,
}

/// How many URLs were purged lately, and when.
#[derive(Default)]
struct Purges(VecDeque<(Instant, usize)>);

impl Purges {
    /// Notes that so many are purged now, or tells after which time they may be.
    fn take(&mut self, now: Instant, urls: usize) -> Result<(), Duration> {
        while self.0.front().is_some_and(|(at, _)| now.duration_since(*at) >= PURGE_MINUTE) {
            self.0.pop_front();
        }
        let lately: usize = self.0.iter().map(|(_, urls)| urls).sum();
        match self.0.front() {
            Some((first, _)) if lately + urls > PURGES => Err(PURGE_MINUTE - now.duration_since(*first)),
            _ => {
                self.0.push_back((now, urls));
                Ok(())
            }
        }
    }
}

fn failed(error: &Error) -> ObjectError {
    ObjectError::Failed(error.to_string())
}

/// Until when a URL that is signed now is good. The same all day long: else each page would have addresses of its own, and
/// no browser would find in its cache what it has shown before.
fn good_until(now: SystemTime) -> SystemTime {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs((seconds.div_ceil(DAY) + TOKEN_DAYS) * DAY)
}

fn slash(name: &str) -> String {
    format!("/{name}")
}

impl Upyun {
    /// A client by the settings. Nothing is sent.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(config: &UpyunConfig) -> Result<Self, String> {
        let words = |e: Error| e.to_string();
        let client = Client::builder(&config.bucket, config.operator.clone())
            .endpoint(&config.api_url)
            .purge_endpoint(&config.purge_url)
            .build()
            .map_err(words)?;
        let mut cdn = CdnUrls::new(config.cdn_url.clone()).separator(config.separator);
        if let Some(token) = &config.token {
            cdn = cdn.token(token.clone());
        }
        let mut verifier = CallbackVerifier::new(config.operator.clone());
        if let Some(key) = &config.form_key {
            verifier = verifier.accept_legacy(key.clone());
        }
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(CDN_ANSWER)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| format!("HTTP client: {e}"))?;
        Ok(Self {
            client,
            operator: config.operator.clone(),
            cdn,
            http,
            styles: config.styles.clone(),
            notify_url: config.notify_url.clone(),
            verifier,
            direct: config.direct,
            processing: config.processing,
            probed: Mutex::default(),
            purged: Mutex::default(),
            rights: Mutex::default(),
            trying_rights: AtomicBool::default(),
        })
    }

    /// The API's address, where browsers post their forms.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.client.endpoint()
    }

    /// Where a size of an object is: the CDN makes it by the style of that name. `index` is as in [`VARIANTS`].
    #[must_use]
    pub fn style_url(&self, object: &str, index: usize, webp: bool) -> String {
        self.cdn.signed(&self.plain_url(object, index, webp), good_until(SystemTime::now()))
    }

    /// The same without a token.
    fn plain_url(&self, object: &str, index: usize, webp: bool) -> String {
        let style = self.styles.as_ref().map_or(VARIANTS[index].0, |styles| styles[index].as_str());
        if webp { self.cdn.style_with(object, style, "/format/webp") } else { self.cdn.style(object, style) }
    }

    /// Reads a size from the CDN, as a visitor's browser would.
    ///
    /// # Errors
    /// [`ObjectError::Missing`] for a 404 (no such object, or no such style), else what failed.
    pub async fn read_style(&self, object: &str, index: usize, webp: bool) -> Result<Content, ObjectError> {
        let url = self.style_url(object, index, webp);
        let response =
            self.http.get(&url).send().await.map_err(|e| ObjectError::Failed(format!("CDN: {e}")))?;
        let status = response.status();
        if status == reqwest::StatusCode::NOT_FOUND {
            return Err(ObjectError::Missing(format!("{object} in the style {}", VARIANTS[index].0)));
        }
        if !status.is_success() {
            return Err(ObjectError::Failed(format!("the CDN answered {status} for {object}")));
        }
        let bytes = response
            .content_length()
            .ok_or_else(|| ObjectError::Failed("the CDN told no length".to_owned()))?;
        Ok(Content { bytes, stream: Box::pin(response.bytes_stream().map_err(io::Error::other)) })
    }

    /// A form with which a browser can put one file of exactly `bytes` under the object's name, until `expires`.
    ///
    /// # Errors
    /// A setting that a policy cannot carry.
    pub fn sign(
        &self,
        object: &StoredObject,
        upload_key: &str,
        bytes: u64,
        media_type: &str,
        expires: SystemTime,
    ) -> Result<SignedForm, String> {
        let mut policy = FormPolicy::new(self.client.bucket(), slash(&object.name), expires)
            .content_length_range(bytes, bytes)
            .content_type(media_type)
            .image_width_range(1, u64::from(crate::images::MAX_SIDE))
            .image_height_range(1, u64::from(crate::images::MAX_SIDE))
            .ext_param(upload_key);
        if let Some(url) = &self.notify_url {
            policy = policy.notify_url(url);
        }
        if let Some(secret) = &object.content_secret {
            policy = policy.content_secret(secret);
        }
        policy.sign(&self.operator).map_err(|e| e.to_string())
    }

    pub(super) async fn put_file(
        &self,
        to: &StoredObject,
        file: &Path,
        media_type: &str,
    ) -> Result<(), ObjectError> {
        let file = tokio::fs::File::open(file).await?;
        let bytes = file.metadata().await?.len();
        let stream = futures_util::stream::try_unfold(file, |mut file| async move {
            let mut chunk = vec![0; CHUNK];
            let read = file.read(&mut chunk).await?;
            chunk.truncate(read);
            Ok::<_, io::Error>((read > 0).then_some((chunk, file)))
        });
        let options = PutOptions {
            content_type: Some(media_type.to_owned()),
            content_secret: to.content_secret.clone(),
            ..PutOptions::default()
        };
        let put = self.client.put(&slash(&to.name), Body::stream(stream, bytes), &options).await;
        put.map(drop).map_err(|e| self.refused(&e))
    }

    pub(super) async fn put(
        &self,
        name: &str,
        content: Vec<u8>,
        media_type: &str,
    ) -> Result<(), ObjectError> {
        let options = PutOptions { content_type: Some(media_type.to_owned()), ..PutOptions::default() };
        self.client.put(&slash(name), content, &options).await.map(drop).map_err(|e| self.refused(&e))
    }

    pub(super) async fn read(&self, name: &str) -> Result<Content, ObjectError> {
        let download = match self.client.get(&slash(name)).await {
            Ok(download) => download,
            Err(e) if e.is_not_found() => return Err(ObjectError::Missing(name.to_owned())),
            Err(e) => return Err(failed(&e)),
        };
        let bytes = download.info.size;
        Ok(Content { bytes, stream: Box::pin(download.into_stream().map(|c| c.map_err(io::Error::other))) })
    }

    pub(super) async fn head(&self, name: &str) -> Result<Option<Meta>, ObjectError> {
        match self.client.head(&slash(name)).await {
            Ok(info) if info.is_folder => Ok(None),
            Ok(info) => {
                Ok(Some(Meta { bytes: info.size, md5: info.content_md5.map(|md5| md5.to_lowercase()) }))
            }
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(failed(&e)),
        }
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), ObjectError> {
        match self.client.delete(&slash(name), Delete::Later).await {
            Ok(()) => Ok(()),
            Err(e) if e.is_not_found() => Ok(()),
            Err(e) => Err(self.refused(&e)),
        }
    }

    /// A change that failed. If it was refused, the operator may have lost a right: health finds out the next time.
    fn refused(&self, error: &Error) -> ObjectError {
        if error.api().is_some_and(|e| !e.is_retryable())
            && let Some(rights) = self.rights.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
        {
            rights.due = Instant::now();
        }
        failed(error)
    }

    /// Drops all sizes of an object from the CDN's caches. When too much was dropped lately, nothing is done but to tell
    /// how long to wait.
    ///
    /// # Errors
    /// They may be shown until the caches forget them.
    pub async fn purge(&self, object: &str) -> Result<Option<Duration>, ObjectError> {
        let mut urls = vec![self.cdn.original(object)];
        for index in 0..VARIANTS.len() {
            for webp in [false, true] {
                // The caches know an address without its token.
                urls.push(self.plain_url(object, index, webp));
            }
        }
        let turn =
            self.purged.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now(), urls.len());
        if let Err(wait) = turn {
            return Ok(Some(wait));
        }
        let foreign = self.client.purge(&urls).await.map_err(|e| failed(&e))?;
        if !foreign.is_empty() {
            tracing::warn!(
                "UPYUN_CDN_DOMAIN: this bucket has no such domain, so nothing of {object} was purged"
            );
        }
        Ok(None)
    }

    /// Whether bucket, operator and password work, and the operator may read, write and delete.
    pub(super) async fn probe(self: &Arc<Self>) -> Result<(), String> {
        self.reads().await?;
        let known = {
            let rights = self.rights.lock().unwrap_or_else(PoisonError::into_inner);
            rights.as_ref().map(|rights| (rights.outcome.clone(), rights.due <= Instant::now()))
        };
        // Beside whoever asks, who may give up waiting: a slow store is no store without rights.
        match known {
            Some((outcome, due)) => {
                if due && !self.trying_rights.swap(true, Ordering::Relaxed) {
                    let upyun = Arc::clone(self);
                    tokio::spawn(async move {
                        // What comes of it is kept for who asks next.
                        let _kept = upyun.try_rights().await.is_ok();
                        upyun.trying_rights.store(false, Ordering::Relaxed);
                    });
                }
                outcome
            }
            None => {
                let upyun = Arc::clone(self);
                let tried = tokio::spawn(async move { upyun.try_rights().await }).await;
                tried.map_err(|e| format!("the check itself failed: {e}"))?
            }
        }
    }

    /// Writes a few bytes and deletes them.
    async fn try_rights(&self) -> Result<(), String> {
        let put = self.client.put(PROBE, b"filmtrip".to_vec(), &PutOptions::default()).await;
        let tried = match put {
            Ok(_) => match self.client.delete(PROBE, Delete::Later).await {
                Ok(()) => Ok(()),
                // Another instance was faster.
                Err(e) if e.is_not_found() => Ok(()),
                Err(e) => Err(("deleted", e)),
            },
            Err(e) => Err(("written", e)),
        };
        let outcome = tried.map_err(|(what, e)| {
            // Only a refusal says something of rights.
            let refused = e.api().is_some_and(|e| !e.is_retryable());
            (refused, format!("the bucket can be read, but not {what}: {e}"))
        });
        let now = Instant::now();
        let mut rights = self.rights.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                *rights = Some(Rights { outcome: Ok(()), due: now + RIGHTS_FRESH });
                Ok(())
            }
            Err((refused, problem)) => {
                if refused {
                    *rights = Some(Rights { outcome: Err(problem.clone()), due: now + FRESH });
                } else if let Some(rights) = rights.as_mut() {
                    rights.due = now + FRESH;
                }
                Err(problem)
            }
        }
    }

    /// Whether bucket, operator and password work. A fresh answer is given again.
    async fn reads(&self) -> Result<(), String> {
        if let Ok(probed) = self.probed.lock()
            && let Some((at, answer)) = probed.as_ref()
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let answer = self.client.usage().await.map(drop).map_err(|e| e.to_string());
        if let Ok(mut probed) = self.probed.lock() {
            *probed = Some((Instant::now(), answer.clone()));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purges_keep_below_the_limit_of_a_minute() {
        let (mut purges, start) = (Purges::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..40 {
            assert_eq!(purges.take(at(second), 14), Ok(()), "{second}");
        }
        assert_eq!(purges.take(at(40), 14), Err(Duration::from_secs(20)));
        assert_eq!(purges.take(at(60), 14), Ok(()), "the first ones are a minute old");
        assert_eq!(purges.take(at(60), 14), Err(Duration::from_secs(1)));
        assert_eq!(
            Purges::default().take(start, PURGES + 1),
            Ok(()),
            "more than a minute's at once would wait for ever"
        );
    }

    #[test]
    fn a_signed_address_stays_the_same_for_a_day_and_is_good_for_a_week() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let (morning, night) = (at(20_000 * DAY + 1), at(20_001 * DAY));
        assert_eq!(good_until(morning), good_until(night));
        assert_eq!(good_until(night), at(20_008 * DAY));
        assert_eq!(good_until(at(20_001 * DAY + 1)), at(20_009 * DAY));
    }
}
