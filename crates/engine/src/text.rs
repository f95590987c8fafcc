//! Words for people, always in both languages at once.
//! A sentence that exists in one language only does not compile; nothing here chooses a language for the reader.

use serde::{Deserialize, Serialize};

/// A language Safelight speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Lang {
    /// English.
    #[default]
    #[serde(rename = "en")]
    En,
    /// Simplified Chinese.
    #[serde(rename = "zh-CN")]
    Zh,
}

impl Lang {
    /// Reads a tag such as `zh-CN`, `zh_CN.UTF-8` or `en_GB`. Anything that does not begin with `zh` is English.
    #[must_use]
    pub fn from_tag(tag: &str) -> Self {
        if tag.trim().to_ascii_lowercase().starts_with("zh") { Self::Zh } else { Self::En }
    }

    /// The BCP 47 tag, for `lang` attributes.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh-CN",
        }
    }
}

/// One sentence in both languages. Findings, events and journals store both, so that a report of last year's run can
/// be read in either.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Text {
    /// English.
    pub en: String,
    /// Simplified Chinese.
    #[serde(rename = "zh-CN")]
    pub zh: String,
}

impl Text {
    /// Both languages at once.
    pub fn new(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { en: en.into(), zh: zh.into() }
    }

    /// The same letters in both: a path, a number, a command's own output.
    pub fn same(s: impl Into<String>) -> Self {
        let s = s.into();
        Self { zh: s.clone(), en: s }
    }

    /// The sentence in `lang`.
    #[must_use]
    pub fn get(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.en,
            Lang::Zh => &self.zh,
        }
    }
}

/// `text!("{n} files", "{n} 个文件")`: a [`Text`] with inline formatting in both languages.
#[macro_export]
macro_rules! text {
    ($en:literal, $zh:literal $(, $($arg:tt)*)?) => {
        $crate::text::Text { en: format!($en $(, $($arg)*)?), zh: format!($zh $(, $($arg)*)?) }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_tags_of_any_shape_are_understood() {
        for tag in ["zh-CN", "zh_CN.UTF-8", "ZH", " zh-Hans"] {
            assert_eq!(Lang::from_tag(tag), Lang::Zh, "{tag}");
        }
        for tag in ["en", "C", "", "de_DE.UTF-8"] {
            assert_eq!(Lang::from_tag(tag), Lang::En, "{tag}");
        }
    }

    #[test]
    fn text_formats_both_languages() {
        let n = 3;
        let t = text!("{n} files", "{n} 个文件");
        assert_eq!((t.get(Lang::En), t.get(Lang::Zh)), ("3 files", "3 个文件"));
    }
}
