//! Every text of the pages, in English and Chinese. A missing one does not compile.

mod catalogue;

pub use catalogue::Texts;

use crate::model::{AlbumKind, FilmFormat, Outcome, Reason, Report, Visibility};

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lang {
    /// English.
    En,
    /// Simplified Chinese.
    Zh,
}

impl Lang {
    /// The tag for `lang=` and `?lang=`.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh-CN",
        }
    }

    /// A language by its tag, the region aside.
    #[must_use]
    pub fn parse(tag: &str) -> Option<Self> {
        let language = tag.split(['-', '_']).next().unwrap_or_default();
        match language.to_ascii_lowercase().as_str() {
            "en" => Some(Self::En),
            "zh" => Some(Self::Zh),
            _ => None,
        }
    }

    /// The best language of an `Accept-Language` header; English when none fits.
    #[must_use]
    pub fn negotiate(header: &str) -> Self {
        let mut best = (Self::En, 0.0_f32);
        for part in header.split(',') {
            let mut pieces = part.trim().split(';');
            let lang = pieces.next().and_then(|tag| Self::parse(tag.trim()));
            let quality = pieces
                .find_map(|p| p.trim().strip_prefix("q="))
                .map_or(1.0, |q| q.trim().parse::<f32>().unwrap_or(0.0));
            if let Some(lang) = lang
                && quality > best.1
            {
                best = (lang, quality);
            }
        }
        best.0
    }

    /// The texts.
    #[must_use]
    pub fn texts(self) -> &'static Texts {
        match self {
            Self::En => &catalogue::EN,
            Self::Zh => &catalogue::ZH,
        }
    }

    /// A day such as `2026-05-01`, or a moment that begins with one, as people of this language write it.
    #[must_use]
    pub fn day(self, date: &str) -> String {
        const MONTHS: [&str; 12] = [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ];
        let day = date.get(..10).unwrap_or(date);
        let mut parts = day.split('-').map(str::parse::<usize>);
        let (Some(Ok(year)), Some(Ok(month)), Some(Ok(number))) = (parts.next(), parts.next(), parts.next())
        else {
            return date.to_owned();
        };
        match (self, month.checked_sub(1).and_then(|m| MONTHS.get(m))) {
            (_, None) => date.to_owned(),
            (Self::En, Some(name)) => format!("{number} {name} {year}"),
            (Self::Zh, Some(_)) => format!("{year}年{month}月{number}日"),
        }
    }

    /// A day with the time of day, where there is one.
    #[must_use]
    pub fn moment(self, moment: &str) -> String {
        let day = self.day(moment);
        match moment.get(11..16) {
            Some(time) => format!("{day} {time}"),
            None => day,
        }
    }
}

impl Texts {
    /// What to tell a person about an error code of the API.
    #[must_use]
    pub fn error(&self, code: &str) -> &'static str {
        match code {
            "wrong_login" => self.wrong_login,
            "too_many_attempts" => self.too_many_attempts,
            "csrf" => self.csrf,
            "bad_request" => self.bad_request,
            "too_large" => self.too_large,
            "unsupported_type" => self.unsupported_type,
            "bad_image" => self.bad_image,
            "forbidden" => self.forbidden,
            "not_found" => self.not_found,
            "conflict" | "exists" => self.conflict,
            "held" => self.held,
            "no_roll" => self.no_such_roll,
            "no_album" => self.no_such_album,
            "weak_password" => self.weak_password,
            _ => self.unavailable,
        }
    }

    /// What to tell of a form that was not taken: the field that is wrong by the name that it has on the page.
    #[must_use]
    pub fn refusal(&self, code: &str, field: Option<&str>) -> String {
        let earlier = match field {
            Some("unloaded_on") => Some(self.loaded_on),
            Some("ends_on") => Some(self.starts_on),
            _ => None,
        };
        match (code, field.and_then(|field| self.field(field)), earlier) {
            ("csrf", ..) => self.csrf_again.to_owned(),
            ("bad_request", Some(name), Some(first)) => {
                self.wrong_order.replace("{n}", name).replace("{m}", first)
            }
            ("bad_request", Some(name), None) => self.wrong_field.replace("{n}", name),
            _ => self.error(code).to_owned(),
        }
    }

    /// What to tell of a report that was not taken.
    #[must_use]
    pub fn report_refusal(&self, code: &str, field: Option<&str>) -> String {
        match (code, field.and_then(|field| self.field(field))) {
            ("bad_request", Some(name)) => self.report_wrong.replace("{n}", name),
            _ => self.error(code).to_owned(),
        }
    }

    /// The name of a field of the API on the pages.
    fn field(&self, field: &str) -> Option<&'static str> {
        Some(match field {
            "title" => self.title,
            "caption" => self.caption,
            "tags" => self.tags,
            "frame" => self.frame,
            "frames_from" => self.first_frame,
            "film_stock" => self.film_stock,
            "camera" => self.camera,
            "lens" => self.lens,
            "scanner" => self.scanner,
            "lab" => self.lab,
            "developer" => self.developer,
            "notes" => self.notes,
            "format" => self.format,
            "box_iso" => self.box_iso,
            "exposure_index" => self.exposure_index,
            "loaded_on" => self.loaded_on,
            "unloaded_on" => self.unloaded_on,
            "taken_at" => self.taken,
            "location" | "place" => self.place,
            "lat" => self.latitude,
            "lon" => self.longitude,
            "description" => self.description,
            "starts_on" => self.starts_on,
            "ends_on" => self.ends_on,
            "visibility" => self.visibility,
            "reason" => self.report_reason,
            "note" => self.report_note,
            "contact" => self.report_contact,
            _ => return None,
        })
    }

    /// What to tell after something was done; only known codes, since they come from the URL.
    #[must_use]
    pub fn notice(&self, code: &str) -> Option<&'static str> {
        match code {
            "uploaded" => Some(self.uploaded),
            "duplicates" => Some(self.duplicates),
            "partly" => Some(self.partly),
            "saved" => Some(self.saved),
            "deleted" => Some(self.deleted),
            "trashed" => Some(self.trashed),
            "restored" => Some(self.restored),
            "roll" => Some(self.roll_created),
            "album" => Some(self.album_created),
            "setup" => Some(self.setup_done),
            "password" => Some(self.password_changed),
            "retried" => Some(self.retried),
            "retried_all" => Some(self.retried_all),
            "integrity" => Some(self.integrity_started),
            "unsure" => Some(self.unsure),
            "nothing" => Some(self.nothing_selected),
            "reported" => Some(self.report_sent),
            "decided" => Some(self.report_decided),
            "decided_before" => Some(self.report_gone),
            _ => None,
        }
    }

    /// What is wrong with the files of a photo, by the code of the last look.
    #[must_use]
    pub fn fault(&self, code: &str) -> &'static str {
        match code {
            "original_missing" => self.fault_original_missing,
            "original_size" => self.fault_original_size,
            "original_replaced" => self.fault_original_replaced,
            "original_damaged" => self.fault_original_damaged,
            "file_missing" => self.fault_file_missing,
            "file_empty" => self.fault_file_empty,
            "not_shown" => self.fault_not_shown,
            "unreadable" => self.fault_unreadable,
            _ => self.fault_other,
        }
    }

    /// Why a job failed, by its code.
    #[must_use]
    pub fn job_error(&self, code: &str) -> &'static str {
        match code {
            "killed" => self.why_killed,
            "panicked" => self.why_panicked,
            "internal" => self.why_internal,
            "database" => self.why_database,
            "store" => self.why_store,
            "not_there" => self.why_not_there,
            "given_up" => self.why_given_up,
            "busy" => self.why_busy,
            "other" => self.why_other,
            _ => self.error(code),
        }
    }

    /// What a job does; that of a newer release by its own name.
    #[must_use]
    pub fn job_kind<'a>(&self, kind: &'a str) -> &'a str {
        match kind {
            "ingest" => self.kind_ingest,
            "recheck" => self.kind_recheck,
            "relocate" => self.kind_relocate,
            "discard" => self.kind_discard,
            "integrity" => self.kind_integrity,
            "measure" => self.kind_measure,
            "sweep" => self.kind_sweep,
            other => other,
        }
    }

    /// Where originals are.
    #[must_use]
    pub fn backend_name<'a>(&self, backend: &'a str) -> &'a str {
        match backend {
            "local" => self.backend_local,
            "upyun" => self.backend_upyun,
            "s3" => self.backend_s3,
            other => other,
        }
    }

    /// Why a photo was reported.
    #[must_use]
    pub fn reason(&self, reason: Reason) -> &'static str {
        match reason {
            Reason::Mine => self.reason_mine,
            Reason::Person => self.reason_person,
            Reason::Illegal => self.reason_illegal,
            Reason::Other => self.reason_other,
        }
    }

    /// What was done about a report; of a photo that is gone, that it is.
    #[must_use]
    pub fn outcome(&self, report: &Report) -> &'static str {
        match report.outcome {
            Some(Outcome::Hidden) => self.outcome_hidden,
            Some(Outcome::Trashed) => self.outcome_trashed,
            Some(Outcome::Dismissed) => self.outcome_dismissed,
            None if report.there => self.outcome_open,
            None => self.outcome_photo_gone,
        }
    }

    /// How many reports.
    #[must_use]
    pub fn reports_count(&self, count: u64) -> String {
        let form = if count == 1 { self.reports_count_one } else { self.reports_count_many };
        form.replace("{n}", &count.to_string())
    }

    /// A size of the photos, with its longest side.
    #[must_use]
    pub fn size_name<'a>(&self, size: &'a str) -> &'a str {
        match size {
            "thumb" => self.size_thumb,
            "preview" => self.size_preview,
            "large" => self.size_large,
            other => other,
        }
    }

    /// How many photos.
    #[must_use]
    pub fn photos(&self, count: u64) -> String {
        let form = if count == 1 { self.photos_one } else { self.photos_many };
        form.replace("{n}", &count.to_string())
    }

    /// Who may see it.
    #[must_use]
    pub fn visibility_name(&self, visibility: Visibility) -> &'static str {
        match visibility {
            Visibility::Public => self.public,
            Visibility::Unlisted => self.unlisted,
            Visibility::Private => self.private,
        }
    }

    /// Size of the film.
    #[must_use]
    pub fn format_name(&self, format: FilmFormat) -> &'static str {
        match format {
            FilmFormat::F135 => self.format_135,
            FilmFormat::Half => self.format_half,
            FilmFormat::F120 => self.format_120,
            FilmFormat::F110 => self.format_110,
            FilmFormat::F4x5 => self.format_4x5,
            FilmFormat::F8x10 => self.format_8x10,
            FilmFormat::Instant => self.format_instant,
            FilmFormat::Other => self.format_other,
        }
    }

    /// Album or trip.
    #[must_use]
    pub fn kind_name(&self, kind: AlbumKind) -> &'static str {
        match kind {
            AlbumKind::Album => self.album,
            AlbumKind::Trip => self.trip,
        }
    }

    /// How a film was exposed against its box: pushed or pulled, in thirds of a stop; nothing when as on the box.
    #[must_use]
    pub fn push_pull(&self, box_iso: u32, index: u32) -> Option<String> {
        if box_iso == 0 || index == 0 {
            return None;
        }
        let thirds = ((f64::from(index) / f64::from(box_iso)).log2() * 3.0).round();
        // At most 32 stops lie between two 32-bit numbers.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let size = thirds.abs() as u32;
        if size == 0 {
            return None;
        }
        let part = ["", "⅓", "⅔"][(size % 3) as usize];
        let whole = if size < 3 { String::new() } else { (size / 3).to_string() };
        let form = match (thirds > 0.0, size <= 3) {
            (true, true) => self.pushed_one,
            (true, false) => self.pushed_many,
            (false, true) => self.pulled_one,
            (false, false) => self.pulled_many,
        };
        Some(form.replace("{n}", &format!("{whole}{part}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FAULTS, JOB_ERRORS};

    #[test]
    fn every_text_is_there_in_both_languages_and_translated() {
        for (key, en, zh) in catalogue::PAIRS {
            assert!(!en.trim().is_empty() && !zh.trim().is_empty(), "{key} is empty");
            assert_ne!(en, zh, "{key} is not translated");
            assert_eq!(en.contains("{n}"), zh.contains("{n}"), "{key} has its number in one language only");
        }
    }

    #[test]
    fn the_best_accepted_language_wins() {
        assert_eq!(Lang::negotiate("zh-CN,zh;q=0.9,en;q=0.8"), Lang::Zh);
        assert_eq!(Lang::negotiate("fr, zh;q=0.2, en-GB;q=0.7"), Lang::En);
        assert_eq!(Lang::negotiate("fr, de"), Lang::En);
        assert_eq!(Lang::negotiate(""), Lang::En);
    }

    #[test]
    fn days_are_written_as_people_do() {
        assert_eq!(Lang::En.day("2026-05-01"), "1 May 2026");
        assert_eq!(Lang::Zh.day("2026-05-01T18:30:00Z"), "2026年5月1日");
        assert_eq!(Lang::En.moment("2026-05-01T18:30:00"), "1 May 2026 18:30");
        assert_eq!(Lang::En.day("2026-13-01"), "2026-13-01");
        assert_eq!(Lang::En.day("soon"), "soon");
    }

    #[test]
    fn a_refusal_names_the_field_as_the_page_does() {
        let (en, zh) = (Lang::En.texts(), Lang::Zh.texts());
        assert!(en.refusal("bad_request", Some("box_iso")).contains("ISO on the box"));
        assert!(zh.refusal("bad_request", Some("unloaded_on")).contains("“取片”早于“装片”"));
        assert_eq!(en.refusal("bad_request", None), en.bad_request);
        assert_eq!(en.refusal("no_roll", Some("roll")), en.no_such_roll);
    }

    #[test]
    fn every_fault_and_every_error_of_a_job_has_words_of_its_own() {
        let zh = Lang::Zh.texts();
        let own = |words: Vec<&str>| words.iter().collect::<std::collections::BTreeSet<_>>().len();
        let faults: Vec<&str> = FAULTS.iter().map(|code| zh.fault(code)).collect();
        assert!(!faults.contains(&zh.fault_other), "{faults:?}");
        assert_eq!(own(faults), FAULTS.len());
        let errors: Vec<&str> = JOB_ERRORS.iter().map(|code| zh.job_error(code)).collect();
        assert!(!errors.contains(&zh.why_other) && !errors.contains(&zh.unavailable), "{errors:?}");
        assert_eq!(own(errors), JOB_ERRORS.len());
    }

    #[test]
    fn push_and_pull_are_told_in_thirds_of_a_stop() {
        let en = Lang::En.texts();
        assert_eq!(en.push_pull(400, 400), None);
        assert_eq!(en.push_pull(400, 800).as_deref(), Some("pushed 1 stop"));
        assert_eq!(en.push_pull(400, 1600).as_deref(), Some("pushed 2 stops"));
        assert_eq!(en.push_pull(400, 320).as_deref(), Some("pulled ⅓ stop"));
        assert_eq!(en.push_pull(400, 1000).as_deref(), Some("pushed 1⅓ stops"));
        assert_eq!(Lang::Zh.texts().push_pull(400, 100).as_deref(), Some("减感 2 挡"));
        assert_eq!(en.push_pull(0, 800), None);
    }
}
