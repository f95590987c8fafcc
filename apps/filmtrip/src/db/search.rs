//! What a search looks in. Substrings, not words: Chinese has no spaces, and a collection of one person's photos is
//! small enough to be read through.

use super::photos::PhotoRow;

/// Most words of a search that count.
const MAX_WORDS: usize = 8;

/// Everything that is searched of a photo, in lower case.
#[must_use]
pub fn text(row: &PhotoRow) -> String {
    let mut parts = vec![&row.title, &row.caption, &row.place, &row.film_stock, &row.camera, &row.lens];
    parts.extend(&row.tags);
    if let Some(roll) = &row.roll {
        parts.extend([&roll.title, &roll.film_stock, &roll.camera, &roll.lens, &roll.scanner, &roll.lab]);
    }
    let exif = &row.exif;
    parts.extend([&exif.make, &exif.model, &exif.lens].into_iter().flatten());
    let joined =
        parts.iter().filter(|p| !p.is_empty()).map(|p| p.to_lowercase()).collect::<Vec<_>>().join("\n");
    // A photo without any word has been written all the same: only an empty text means that it was not.
    if joined.is_empty() { "\n".to_owned() } else { joined }
}

/// The LIKE patterns of what somebody typed, one a word, with `\` as the escape.
#[must_use]
pub fn patterns(typed: &str) -> Vec<String> {
    let escaped = |word: &str| {
        let mut pattern = String::from("%");
        for c in word.to_lowercase().chars() {
            if matches!(c, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('%');
        pattern
    };
    typed.split_whitespace().take(MAX_WORDS).map(escaped).collect()
}

/// A tag as it is stored: trimmed, without `#` and control characters, in lower case, at most 40 characters.
#[must_use]
pub fn tag(typed: &str) -> String {
    let cleaned: String = typed.chars().filter(|c| !c.is_control() && *c != ',').collect();
    let cleaned = cleaned.trim().trim_start_matches('#').trim().to_lowercase();
    cleaned.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_escape_what_like_would_read() {
        assert_eq!(patterns("100%  Film_x"), ["%100\\%%", "%film\\_x%"]);
        assert_eq!(patterns(" 大理 洱海 "), ["%大理%", "%洱海%"]);
        assert!(patterns("  ").is_empty());
    }

    #[test]
    fn tags_have_one_form() {
        assert_eq!(tag(" #Street "), "street");
        assert_eq!(tag("夜景"), "夜景");
        assert_eq!(tag("a,b\n"), "ab");
        assert_eq!(tag(&"x".repeat(90)).len(), 40);
    }
}
