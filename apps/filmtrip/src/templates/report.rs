//! Reports of photos: the form for everybody, and what admins decide.

use maud::{Markup, html};

use super::csrf;
use super::parts::{alt, messages, name, pages, picture};
use crate::i18n::Texts;
use crate::model::limits::{EMAIL, NOTE};
use crate::model::{
    NewReport, Outcome, Photo, Reason, Report, ReportList, ReportedPhotos, SessionInfo, Visibility,
};

/// The form under a photo, folded away; with what was written and why it was not taken, when it was not.
#[must_use]
pub fn form(texts: &Texts, key: &str, refused: Option<(&NewReport, &str)>) -> Markup {
    let written = refused.map(|(written, _)| written);
    html! {
        details.report #report open[refused.is_some()] {
            summary { (texts.report) }
            form.fields.card method="post" action={ "/p/" (key) "/report" } {
                @if let Some((_, problem)) = refused { (messages(None, Some(problem))) }
                p { (texts.report_hint) }
                label { (texts.report_reason)
                    select name="reason" required {
                        option value="" {}
                        @for reason in Reason::ALL {
                            option value=(reason.as_str()) selected[written.is_some_and(|w| w.reason == reason)] {
                                (texts.reason(reason)) }
                        }
                    }
                }
                label { (texts.report_note)
                    textarea name="note" maxlength=(NOTE) rows="3" placeholder=(texts.report_note_hint) {
                        (written.map_or("", |w| &w.note)) } }
                label { (texts.report_contact)
                    input type="text" name="contact" maxlength=(EMAIL) autocomplete="email"
                        value=(written.map_or("", |w| &w.contact)); }
                button.quiet { (texts.report_send) }
            }
        }
    }
}

/// The photos that wait for a decision.
#[must_use]
pub fn open(
    texts: &Texts,
    session: &SessionInfo,
    list: &ReportedPhotos,
    paged: bool,
    notice: Option<&str>,
) -> Markup {
    html! {
        h1 { (texts.reported) }
        (messages(notice, None))
        p.hint { (texts.reports_hint) " " a href="/admin/reports/closed" { (texts.reports_closed) } }
        @if list.photos.is_empty() {
            section.problem { (super::parts::blank()) p { @if paged { (texts.page_gone) } @else { (texts.reports_none) } } }
        }
        @for one in &list.photos {
            section.card.case {
                (shown(texts, &one.photo))
                div {
                    (about(texts, &one.photo))
                    p.hint { (texts.reports_count(one.count)) " · "
                        a href={ "/admin/reports/" (one.photo.key) } { (texts.reports_all) } }
                    ul.said { @for report in &one.reports { (said(texts, report, false)) } }
                    (decision(texts, session, &one.photo.key, one.last))
                }
            }
        }
        (pages(texts, "/admin/reports", next("after", list.next).as_ref().map(link), paged, texts.next_page))
    }
}

/// The parameter of the next page.
fn next(name: &'static str, place: Option<i64>) -> Option<(&'static str, String)> {
    place.map(|place| (name, place.to_string()))
}

fn link<'a>(next: &'a (&'static str, String)) -> (&'a str, &'a str) {
    (next.0, &next.1)
}

fn shown(texts: &Texts, photo: &Photo) -> Markup {
    html! {
        a.thumb href={ "/p/" (photo.key) } { (picture(&photo.images.thumb, None, "14rem", &alt(texts, photo), true)) }
    }
}

fn about(texts: &Texts, photo: &Photo) -> Markup {
    html! {
        h2 { a href={ "/admin/photos/" (photo.key) } { (name(texts, photo)) } }
        p.hint {
            @if photo.deleted_at.is_some() { b { (texts.in_the_trash) } }
            @else if photo.visibility == Visibility::Public { (texts.visibility_name(photo.visibility)) }
            @else { b { (texts.visibility_name(photo.visibility)) } }
            @if let Some(owner) = &photo.owner { " · " (texts.owner) ": " (owner) }
        }
    }
}

/// What somebody has written, and with `decided` what came of it.
fn said(texts: &Texts, report: &Report, decided: bool) -> Markup {
    html! {
        li {
            p { b { (texts.reason(report.reason)) } " · "
                time datetime=(report.created_at) { (texts.lang.moment(&report.created_at)) } }
            @if !report.note.is_empty() { p.caption { (report.note) } }
            @if !report.contact.is_empty() { p { (texts.report_answer) ": " (report.contact) } }
            @if decided {
                p.hint { (texts.outcome(report))
                    @if let Some(by) = &report.closed_by { " · " (by) }
                    @if let Some(at) = &report.closed_at {
                        " · " time datetime=(at) { (texts.lang.moment(at)) } }
                }
            }
        }
    }
}

fn decision(texts: &Texts, session: &SessionInfo, key: &str, last: i64) -> Markup {
    let button = |outcome: Outcome| match outcome {
        Outcome::Hidden => texts.report_hide,
        Outcome::Trashed => texts.report_trash,
        Outcome::Dismissed => texts.report_dismiss,
    };
    html! {
        form.actions method="post" action={ "/admin/reports/" (key) } {
            (csrf(session))
            input type="hidden" name="last" value=(last);
            @for outcome in Outcome::ALL {
                button.quiet.danger[outcome != Outcome::Dismissed] name="outcome" value=(outcome.as_str()) {
                    (button(outcome)) }
            }
        }
    }
}

/// All reports of one photo.
#[must_use]
pub fn of_photo(texts: &Texts, session: &SessionInfo, key: &str, list: &ReportList, paged: bool) -> Markup {
    let newest = list.reports.first().filter(|_| list.open > 0 && !paged);
    let path = format!("/admin/reports/{key}");
    html! {
        h1 { (texts.reports_all) }
        p.hint { a href="/admin/reports" { (texts.reported) } }
        section.card.case {
            @if let Some(photo) = &list.photo { (shown(texts, photo)) }
            div {
                @if let Some(photo) = &list.photo { (about(texts, photo)) }
                @else { p { (texts.outcome_photo_gone) } }
                p { (texts.reports_open) ": " (list.open) }
                ul.said { @for report in &list.reports { (said(texts, report, true)) } }
                @if list.reports.is_empty() { p.hint { @if paged { (texts.page_gone) } @else { (texts.reports_none) } } }
                @if let Some(newest) = newest { (decision(texts, session, key, newest.id)) }
            }
        }
        (pages(texts, &path, next("before", list.next).as_ref().map(link), paged, texts.next_page))
    }
}

/// The reports that nobody has to decide on any more.
#[must_use]
pub fn closed(texts: &Texts, list: &ReportList, paged: bool) -> Markup {
    html! {
        h1 { (texts.reports_closed) }
        p.hint { a href="/admin/reports" { (texts.reported) } }
        @if list.reports.is_empty() {
            section.problem { (super::parts::blank()) p {
                @if paged { (texts.page_gone) } @else { (texts.reports_closed_none) } } }
        } @else {
            section.card { ul.said { @for report in &list.reports {
                (said(texts, report, true))
                li.hint { a href={ "/admin/reports/" (report.photo) } { (texts.reports_all) } }
            } } }
        }
        (pages(texts, "/admin/reports/closed", next("before", list.next).as_ref().map(link), paged, texts.next_page))
    }
}
