//! The site for admins: figures, storage, jobs, integrity, people.

use maud::{Markup, html};

use super::csrf;
use super::parts::{bytes, messages, pages};
use super::storage as used;
use crate::i18n::Texts;
use crate::model::limits::EMAIL;
use crate::model::{AccountInfo, Integrity, JobList, Overview, SessionInfo, SetupLink, UserRole};

/// What the page shows.
pub struct View<'a> {
    /// Who is logged in.
    pub session: &'a SessionInfo,
    /// Figures.
    pub overview: &'a Overview,
    /// The queue.
    pub queue: &'a JobList,
    /// The last look through all files.
    pub integrity: &'a Integrity,
    /// Whether these are not the first pages of jobs and of faults.
    pub paged: (bool, bool),
    /// What was just done.
    pub notice: Option<&'a str>,
}

/// Figures, storage, jobs, integrity.
#[must_use]
pub fn page(texts: &Texts, view: &View<'_>) -> Markup {
    html! {
        h1 { (texts.site) }
        (messages(view.notice, None))
        (used::warning(texts, view.overview.volume.as_ref()))
        (figures(texts, view.overview))
        @if view.overview.reported > 0 {
            p { a href="/admin/reports" { (texts.reported) ": " (view.overview.reported) } }
        }
        div.columns.even {
            section.card { h2 { (texts.storage) } (storage(texts, view.overview)) }
            section.card { h2 { (texts.integrity) } (integrity(texts, view)) }
        }
        section.card { h2 { (texts.jobs) } (jobs(texts, view)) }
    }
}

fn figures(texts: &Texts, all: &Overview) -> Markup {
    let flag = |on| if on { texts.on } else { texts.off };
    let rows = [
        (texts.home, all.photos.to_string()),
        (texts.originals, bytes(all.original_bytes)),
        (texts.in_trash, all.trashed.to_string()),
        (texts.reported, all.reported.to_string()),
        (texts.accounts, all.users.to_string()),
        (texts.queue, all.queue_depth.to_string()),
        (texts.failed_jobs, all.failed_jobs.to_string()),
        (texts.pending_uploads, all.pending_uploads.to_string()),
        (texts.direct_upload, flag(all.direct_upload).to_owned()),
        (texts.image_processing, flag(all.image_processing).to_owned()),
        (texts.schema, all.schema.to_string()),
        (texts.release, all.release.clone()),
    ];
    html! { dl.figures { @for (name, value) in rows { div { dt { (name) } dd { (value) } } } } }
}

fn storage(texts: &Texts, all: &Overview) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label=(texts.storage) { table {
            thead { tr { th scope="col" { (texts.backend) } th.n scope="col" { (texts.home) } th.n scope="col" { (texts.originals) } } }
            tbody { @for one in &all.storage {
                tr { th scope="row" { (texts.backend_name(&one.backend)) } td.n { (one.photos) } td.n { (bytes(one.bytes)) } }
            } }
        } }
        (used::volume(texts, all.volume.as_ref()))
        p { a href="/admin/site/storage" { (texts.storage_all) } }
    }
}

fn integrity(texts: &Texts, view: &View<'_>) -> Markup {
    let last = view.integrity;
    html! {
        p.hint { (texts.integrity_hint) }
        @match &last.checked_at {
            None => p { (texts.integrity_never) },
            Some(at) => {
                p { (texts.checked_at) ": " time datetime=(at) { (texts.lang.moment(at)) } " · " (texts.photos(last.photos)) }
                @if last.total == 0 && last.faults.is_empty() { p { (texts.integrity_good) } }
                @else {
                    p { (texts.faults_total.replace("{n}", &last.total.to_string())) }
                    ul.faults { @for fault in &last.faults {
                    li { a href={ "/admin/photos/" (fault.key) } { code { (fault.key) } }
                        @for problem in &fault.problems { " " (said(texts, texts.fault(&problem.code), &problem.detail)) } }
                    } }
                    (pages(texts, "/admin/site", last.next.as_deref().map(|next| ("after", next)), view.paged.1, texts.faults_next))
                }
            }
        }
        @if last.running { p role="status" { (texts.integrity_running) } }
        @else {
            form method="post" action="/admin/site/integrity" {
                (csrf(view.session))
                button.quiet { (texts.integrity_run) }
            }
        }
    }
}

/// What went wrong in the reader's language. What only a program has said is English, and folded away.
fn said(texts: &Texts, words: &str, detail: &str) -> Markup {
    let sentence = detail.contains(char::is_whitespace);
    html! {
        (words)
        @if sentence { " " details.raw { summary { (texts.details) } code lang="en" { (detail) } } }
        @else if !detail.is_empty() { " " code { (detail) } }
    }
}

fn jobs(texts: &Texts, view: &View<'_>) -> Markup {
    let state = |name: &str| match name {
        "waiting" => texts.state_waiting,
        "running" => texts.state_running,
        _ => texts.state_failed,
    };
    html! {
        @if view.overview.failed_jobs > 0 {
            form method="post" action="/admin/site/jobs/retry" {
                (csrf(view.session))
                button.quiet { (texts.retry_failed) " (" (view.overview.failed_jobs) ")" }
            }
        }
        @if view.queue.jobs.is_empty() { p.hint { @if view.paged.0 { (texts.page_gone) } @else { (texts.jobs_none) } } }
        @else { div.wide tabindex="0" role="region" aria-label=(texts.jobs) { table {
            thead { tr {
                @for head in [texts.job_kind, texts.subject, texts.state, texts.attempts, texts.due, texts.job_error] {
                    th scope="col" { (head) }
                }
                th { span.sr { (texts.retry) } }
            } }
            tbody { @for job in &view.queue.jobs { tr {
                th scope="row" { (texts.job_kind(&job.kind)) }
                td { code { (job.subject) } }
                td { (state(&job.state)) }
                td.n { (job.attempts) }
                td { time datetime=(job.run_at) { (texts.lang.moment(&job.run_at)) } }
                td.long { @if let Some(why) = &job.why { (said(texts, texts.job_error(&why.code), &why.detail)) } }
                td { @if job.state == "failed" {
                    form method="post" action={ "/admin/site/jobs/" (job.id) "/retry" } {
                        (csrf(view.session))
                        button.link { (texts.retry) }
                    }
                } }
            } } }
        } } }
        (pages(texts, "/admin/site", view.queue.next.as_deref().map(|next| ("before", next)), view.paged.0, texts.next_page))
    }
}

/// The people of the site. `link` is shown once, after it was made.
#[must_use]
pub fn people(
    texts: &Texts,
    session: &SessionInfo,
    accounts: &[AccountInfo],
    link: Option<(&SetupLink, &str)>,
    notice: Option<&str>,
    problem: Option<&str>,
) -> Markup {
    html! {
        h1 { (texts.users) }
        (messages(notice, problem))
        @if let Some((link, origin)) = link {
            section.card.once role="status" {
                label { (texts.link_once.replace("{n}", &link.email))
                    input type="text" readonly value={ (origin) (link.path) } data-copy=(texts.copy) data-copied=(texts.copied); }
            }
        }
        section.card.medium {
            h2 { (texts.new_account) }
            form.fields method="post" action="/admin/users" {
                (csrf(session))
                div.pair {
                    label { (texts.email) input type="email" name="email" required maxlength=(EMAIL) autocomplete="off"; }
                    label { (texts.role) (role(texts, UserRole::User)) }
                }
                button { (texts.create) }
            }
        }
        div.wide tabindex="0" role="region" aria-label=(texts.users) { table {
            thead { tr {
                @for head in [texts.email, texts.state, texts.role, texts.home, texts.originals, texts.created_on] {
                    th scope="col" { (head) }
                }
                th { span.sr { (texts.edit) } }
            } }
            tbody { @for account in accounts { (person(texts, session, account)) } }
        } }
    }
}

fn person(texts: &Texts, session: &SessionInfo, account: &AccountInfo) -> Markup {
    let path = format!("/admin/users/{}", account.id);
    let own = account.email == session.user.email;
    let state = match (account.disabled, account.active) {
        (true, _) => texts.disabled,
        (false, true) => texts.active,
        (false, false) => texts.invited,
    };
    html! {
        tr {
            th scope="row" { (account.email) }
            td { (state) }
            td {
                @if own { (role_name(texts, account.role)) }
                @else {
                    form.inline method="post" action=(path) {
                        (csrf(session))
                        (role(texts, account.role))
                        button.link { (texts.save) }
                    }
                }
            }
            td.n { (account.photos) }
            td.n { (bytes(account.bytes)) }
            td { (texts.lang.day(&account.created_at)) }
            td { @if !own { div.actions {
                form method="post" action=(path) {
                    (csrf(session))
                    button.link name="disabled" value=(!account.disabled) {
                        @if account.disabled { (texts.enable) } @else { (texts.disable) }
                    }
                }
                form method="post" action={ (path) "/link" } {
                    (csrf(session))
                    button.link { (texts.new_link) }
                }
            } } }
        }
    }
}

fn role_name(texts: &Texts, role: UserRole) -> &'static str {
    match role {
        UserRole::User => texts.role_user,
        UserRole::Admin => texts.role_admin,
    }
}

fn role(texts: &Texts, chosen: UserRole) -> Markup {
    html! {
        select name="role" aria-label=(texts.role) {
            @for one in [UserRole::User, UserRole::Admin] {
                option value=(one.as_str()) selected[one == chosen] { (role_name(texts, one)) }
            }
        }
    }
}
