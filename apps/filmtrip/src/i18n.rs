//! Every text of the pages, in English and Chinese. A missing one does not compile.

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
            Self::En => &EN,
            Self::Zh => &ZH,
        }
    }
}

macro_rules! catalogue {
    ($($key:ident: $en:literal, $zh:literal;)*) => {
        /// The texts of one language.
        #[derive(Debug)]
        pub struct Texts {
            $(#[doc = $en] pub $key: &'static str,)*
        }
        static EN: Texts = Texts { $($key: $en,)* };
        static ZH: Texts = Texts { $($key: $zh,)* };
        #[cfg(test)]
        const PAIRS: &[(&str, &str, &str)] = &[$((stringify!($key), $en, $zh),)*];
    };
}

catalogue! {
    tagline: "Photographs on film, frame by frame.", "胶片上的旅程，一格一格。";
    log_in: "Log in", "登录";
    log_out: "Log out", "退出";
    back_office: "Studio", "后台";
    home: "Photos", "照片";
    email: "Email", "邮箱";
    password: "Password", "密码";
    login_title: "Log in to the studio", "登录后台";
    setup_title: "Choose your password", "设置密码";
    setup_hint: "At least 10 characters. The link works once.", "至少 10 个字符，链接只能用一次。";
    setup_save: "Save password", "保存密码";
    setup_done: "The password is set. Log in with it.", "密码已设置，请登录。";
    setup_gone: "This link is unknown, used or out of date. Ask for a new one.", "链接无效、已使用或已过期，请重新申请。";
    empty: "No photos yet. The first roll is still in the camera.", "还没有照片，第一卷还在相机里。";
    older: "Older photos", "更早的照片";
    newest: "Back to the newest", "回到最新";
    untitled: "Untitled", "无题";
    upload: "Upload photos", "上传照片";
    files: "Files (JPEG, PNG, WebP)", "文件（JPEG、PNG、WebP）";
    title: "Title", "标题";
    caption: "Caption", "说明";
    visibility: "Who may see it", "可见范围";
    public: "Everybody", "公开";
    unlisted: "Whoever has the link", "仅持链接者";
    private: "Only me", "仅自己";
    roll: "Roll", "胶卷";
    no_roll: "No roll", "不属于胶卷";
    new_roll: "New roll", "新建胶卷";
    film_stock: "Film", "胶卷型号";
    camera: "Camera", "相机";
    create: "Create", "创建";
    save: "Save", "保存";
    delete: "Delete", "删除";
    edit: "Edit", "编辑";
    your_photos: "Your photos", "你的照片";
    all_photos: "All photos", "全部照片";
    original: "Original", "原图";
    pixels: "pixels", "像素";
    photos_count: "photos", "张照片";
    accounts: "accounts", "个账户";
    storage_use: "of originals", "原图占用";
    waiting: "in the queue", "个任务排队";
    schema: "schema", "数据库版本";
    uploaded: "The photos are in.", "照片已上传。";
    partly: "Some files were refused.", "部分文件被拒绝。";
    saved: "Saved.", "已保存。";
    deleted: "Deleted.", "已删除。";
    roll_created: "The roll is there.", "胶卷已创建。";
    not_found: "There is nothing here.", "这里什么都没有。";
    error_title: "That did not work", "出错了";
    wrong_login: "Email or password is wrong.", "邮箱或密码不正确。";
    too_many_attempts: "Too many attempts. Try again later.", "尝试次数过多，请稍后再试。";
    csrf: "The page was out of date. Reload it and try again.", "页面已过期，请刷新后重试。";
    bad_request: "Something in the form is missing or too long.", "表单内容缺失或过长。";
    weak_password: "The password must have 10 characters or more.", "密码至少需要 10 个字符。";
    too_large: "The file is too large.", "文件太大。";
    unsupported_type: "Only JPEG, PNG and WebP images can be uploaded.", "只支持 JPEG、PNG 和 WebP 图片。";
    bad_image: "The image is broken or has too many pixels.", "图片已损坏或像素过多。";
    forbidden: "This account may not do that.", "当前账户无权进行此操作。";
    unavailable: "The service is not available at the moment. Try again soon.", "服务暂时不可用，请稍后再试。";
    other_language: "中文", "English";
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
            _ => self.unavailable,
        }
    }

    /// What to tell after something was done; only known codes, since they come from the URL.
    #[must_use]
    pub fn notice(&self, code: &str) -> Option<&'static str> {
        match code {
            "uploaded" => Some(self.uploaded),
            "partly" => Some(self.partly),
            "saved" => Some(self.saved),
            "deleted" => Some(self.deleted),
            "roll" => Some(self.roll_created),
            "setup" => Some(self.setup_done),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_there_in_both_languages_and_translated() {
        for (key, en, zh) in PAIRS {
            assert!(!en.trim().is_empty() && !zh.trim().is_empty(), "{key} is empty");
            assert_ne!(en, zh, "{key} is not translated");
        }
    }

    #[test]
    fn the_best_accepted_language_wins() {
        assert_eq!(Lang::negotiate("zh-CN,zh;q=0.9,en;q=0.8"), Lang::Zh);
        assert_eq!(Lang::negotiate("fr, zh;q=0.2, en-GB;q=0.7"), Lang::En);
        assert_eq!(Lang::negotiate("fr, de"), Lang::En);
        assert_eq!(Lang::negotiate(""), Lang::En);
    }
}
