//! The one list of texts: name, English, Chinese.

use super::Lang;

macro_rules! catalogue {
    ($($key:ident: $en:literal, $zh:literal;)*) => {
        /// The texts of one language.
        #[derive(Debug)]
        pub struct Texts {
            /// Which language.
            pub lang: Lang,
            $(#[doc = $en] pub $key: &'static str,)*
        }
        pub(super) static EN: Texts = Texts { lang: Lang::En, $($key: $en,)* };
        pub(super) static ZH: Texts = Texts { lang: Lang::Zh, $($key: $zh,)* };
        #[cfg(test)]
        pub(super) const PAIRS: &[(&str, &str, &str)] = &[$((stringify!($key), $en, $zh),)*];
    };
}

catalogue! {
    // Around every page.
    tagline: "Photographs on film, frame by frame.", "胶片上的旅程，一格一格。";
    skip: "Skip to the content", "跳到正文";
    navigation: "Main", "主导航";
    studio_navigation: "Studio", "后台导航";
    home: "Photos", "照片";
    albums: "Albums", "相册";
    map: "Map", "地图";
    gear: "Film & gear", "胶卷与器材";
    search: "Search", "搜索";
    back_office: "Studio", "后台";
    log_in: "Log in", "登录";
    log_out: "Log out", "退出";
    other_language: "中文", "English";
    feed: "RSS feed", "RSS 订阅";

    // Lists.
    empty: "No photos yet. The first roll is still in the camera.", "还没有照片，第一卷还在相机里。";
    older: "Older photos", "更早的照片";
    more: "More photos", "更多照片";
    newest: "Back to the first page", "回到第一页";
    pages: "Pages", "分页";
    untitled: "Untitled", "无题";
    photos_one: "{n} photo", "{n} 张照片";
    photos_many: "{n} photos", "{n} 张照片";
    search_hint: "Title, caption, tag, place, film, camera…", "标题、说明、标签、地点、胶卷、相机……";
    search_none: "Nothing found for this.", "没有找到相关照片。";
    tags: "Tags", "标签";
    tag: "Tag", "标签";
    films: "Film stocks", "胶卷型号";
    cameras: "Cameras", "相机";
    lenses: "Lenses", "镜头";
    scanners: "Scanners", "扫描仪";
    gear_none: "Nothing is known of film and gear yet.", "还没有胶卷和器材的记录。";
    albums_none: "No albums yet.", "还没有相册。";
    map_none: "No photo shows its place yet.", "还没有公开拍摄地点的照片。";
    map_hint: "Places of the photos, on an outline of the land from Natural Earth.", "照片的拍摄地点。陆地轮廓来自 Natural Earth。";
    map_list: "Places", "地点列表";
    zoom_in: "Zoom in", "放大";
    zoom_out: "Zoom out", "缩小";
    zoom_reset: "Whole world", "查看全图";
    no_date: "Without a date", "日期不详";

    // One photo.
    title: "Title", "标题";
    caption: "Caption", "说明";
    roll: "Roll", "胶卷";
    frame: "Frame", "格号";
    frame_n: "Frame {n}", "第 {n} 格";
    film_stock: "Film", "胶卷型号";
    format: "Format", "画幅";
    exposure: "Exposed at", "感光度";
    exposed_as: "EI {n} (box {b}, {p})", "EI {n}（标称 {b}，{p}）";
    pushed_one: "pushed {n} stop", "增感 {n} 挡";
    pushed_many: "pushed {n} stops", "增感 {n} 挡";
    pulled_one: "pulled {n} stop", "减感 {n} 挡";
    pulled_many: "pulled {n} stops", "减感 {n} 挡";
    camera: "Camera", "相机";
    lens: "Lens", "镜头";
    scanner: "Scanner", "扫描仪";
    lab: "Lab", "冲扫店";
    developer: "Development", "冲洗记录";
    loaded_on: "Loaded", "装片";
    unloaded_on: "Unloaded", "取片";
    notes: "Notes", "备注";
    taken: "Taken", "拍摄时间";
    uploaded_on: "Uploaded", "上传时间";
    place: "Place", "地点";
    on_the_map: "On a map", "在地图上查看";
    file_says: "From the file", "文件信息";
    size: "Size", "尺寸";
    previous_photo: "Previous", "上一张";
    next_photo: "Next", "下一张";
    neighbours: "Other photos", "前后照片";
    share: "Share", "分享";
    short_link: "Short link", "短链接";
    make_short: "Make a short link", "生成短链接";
    copy: "Copy", "复制";
    copied: "Copied.", "已复制。";
    original: "Download the original", "下载原图";
    format_135: "35 mm", "135";
    format_half: "35 mm half frame", "135 半格";
    format_120: "Medium format 120", "120 中画幅";
    format_110: "110 cartridge", "110 胶卷";
    format_4x5: "4×5 sheets", "4×5 页片";
    format_8x10: "8×10 sheets", "8×10 页片";
    format_instant: "Instant", "拍立得";
    format_other: "Other", "其他";

    // Lightbox.
    close: "Close", "关闭";
    information: "Information", "信息";
    full_screen: "Full screen", "全屏";
    viewer: "Photo viewer", "照片浏览";
    position: "Photo {n} of {m}", "第 {n} 张，共 {m} 张";
    photo_page: "Page of this photo", "照片页面";
    image_failed: "The image could not be loaded.", "图片加载失败。";

    // Accounts.
    email: "Email", "邮箱";
    password: "Password", "密码";
    login_title: "Log in to the studio", "登录后台";
    login_keeps: "You were logged out. What you wrote is kept: log in, and send it again.", "登录已过期。你填写的内容已保留，登录后可再次提交。";
    resend_title: "Your form has not been sent yet", "表单尚未提交";
    resend_hint: "You are logged in again. What you wrote is as you left it.", "你已重新登录，填写的内容原样保留。";
    resend: "Send it now", "立即提交";
    setup_title: "Choose your password", "设置密码";
    setup_hint: "At least 10 characters. The link works once.", "至少 10 个字符，链接只能用一次。";
    setup_save: "Save password", "保存密码";
    setup_done: "The password is set. Log in with it.", "密码已设置，请登录。";
    setup_gone: "This link is unknown, used or out of date. Ask for a new one.", "链接无效、已使用或已过期，请重新申请。";
    account: "Account", "账户";
    change_password: "Change the password", "修改密码";
    old_password: "Present password", "当前密码";
    new_password: "New password", "新密码";
    password_hint: "At least 10 characters. Other devices are logged out.", "至少 10 个字符。其他设备会退出登录。";
    password_changed: "The password is changed. Other devices are logged out.", "密码已修改，其他设备已退出登录。";

    // Studio: upload.
    upload: "Upload photos", "上传照片";
    upload_again: "More fields", "更多设置";
    files: "Files (JPEG, PNG, WebP, TIFF)", "文件（JPEG、PNG、WebP、TIFF）";
    drop_here: "Drop photos here, or choose files", "把照片拖到这里，或选择文件";
    first_frame: "First frame", "起始格号";
    first_frame_hint: "Frame numbers count up from file to file.", "格号按文件顺序依次递增。";
    tags_hint: "Separated by commas", "用逗号分隔";
    visibility: "Who may see it", "可见范围";
    public: "Everybody", "公开";
    unlisted: "Whoever has the link", "知道链接的人可见";
    private: "Only me and the admins", "仅自己和管理员可见";
    no_roll: "No roll", "未归入胶卷";
    no_album: "No album", "不加入相册";
    keep_duplicate: "Store files that are here already once more", "保留重复文件";
    start_upload: "Upload {n}", "上传 {n} 张";
    waiting: "Waiting", "等待中";
    sending: "Uploading", "上传中";
    processing: "Processing", "处理中";
    done: "Done", "完成";
    duplicate: "Already here", "已存在";
    failed: "Failed", "失败";
    cancelled: "Cancelled", "已取消";
    retrying: "Trying again soon", "稍后重试";
    cancel: "Cancel", "取消";
    retry: "Try again", "重试";
    retry_all: "Try all failed ones again", "重试全部失败项";
    remove: "Remove", "移除";
    clear_done: "Clear the finished ones", "清除已完成";
    batch_progress: "{n} of {m} photos uploaded", "已上传 {n} / {m} 张";
    batch_done: "The batch is finished: {n} uploaded, {d} already here, {f} failed.", "本批完成：上传 {n} 张，已存在 {d} 张，失败 {f} 张。";
    resumed: "Going on with {n} unfinished uploads.", "继续 {n} 个未完成的上传。";
    offline: "The connection is gone. It goes on by itself when it is back.", "网络已断开，恢复后会自动继续。";
    logged_out: "You are logged out. Log in again: the unfinished uploads go on.", "登录已过期。重新登录后会继续未完成的上传。";
    uploads: "Uploads", "上传列表";

    // Studio: photos.
    your_photos: "Your photos", "你的照片";
    all_photos: "All photos", "全部照片";
    edit: "Edit", "编辑";
    save: "Save", "保存";
    create: "Create", "创建";
    delete: "Delete", "删除";
    filter: "Filter", "筛选";
    show_all: "Show all", "显示全部";
    any_roll: "Any roll", "所有胶卷";
    select: "Select {n}", "选择 {n}";
    select_all: "Select all", "全选";
    select_none: "Select none", "取消选择";
    selected: "{n} selected", "已选 {n} 张";
    bulk: "Edit the selected photos", "批量编辑";
    no_change: "No change", "不变";
    add_tags: "Add tags", "添加标签";
    remove_tags: "Remove tags", "移除标签";
    add_to_album: "Add to album", "加入相册";
    bulk_more: "Date, place, film and gear, frame numbers", "日期、地点、胶卷与器材、格号";
    frames_from: "Number the frames from", "格号从此数开始";
    frames_order: "In the order", "编号顺序";
    frames_shown: "As shown here", "按当前显示顺序";
    frames_reversed: "Last one first", "从最后一张开始";
    frames_by_name: "By the names of the files", "按文件名";
    apply: "Apply", "应用";
    move_to_trash: "Move to the trash", "移到回收站";
    trash: "Trash", "回收站";
    trash_empty: "The trash is empty.", "回收站是空的。";
    trash_hint: "Only their owner and the admins see the photos here.", "这里的照片只有所有者和管理员能看到。";
    restore: "Restore", "恢复";
    delete_forever: "Delete for ever", "永久删除";
    forever_sure: "I know that it cannot be brought back", "我知道删除后无法恢复";
    film_facts: "Film", "胶片";
    own_hint: "Empty: as on the roll", "留空则与胶卷相同";
    when_where: "Time and place", "时间与地点";
    day_field: "Day", "日期";
    time_field: "Time", "时间";
    latitude: "Latitude", "纬度";
    longitude: "Longitude", "经度";
    show_location: "Show the exact place to everybody", "向所有人公开精确位置";
    location_hint: "Off: only you and the admins see it. Empty both fields to forget it.", "不勾选时仅自己和管理员可见；清空两项即删除位置。";
    stored_in: "Stored in", "存储位置";

    // Studio: rolls and albums.
    rolls: "Rolls", "胶卷";
    rolls_empty: "No roll has photos for everybody yet.", "还没有公开的胶卷。";
    rolls_none: "No rolls yet. Load one.", "还没有胶卷，装一卷吧。";
    new_roll: "New roll", "新建胶卷";
    roll_created: "The roll is there. Upload its photos.", "胶卷已创建，可以上传照片了。";
    roll_originals: "Download all originals (ZIP)", "下载全部原图（ZIP）";
    roll_like: "Next roll like this", "以此新建下一卷";
    roll_hint: "Everybody who sees a photo of the roll can read all of this.", "能看到这卷照片的人都能看到以上全部内容。";
    roll_delete_hint: "Its photos stay ({n}) and keep its film, camera and lens. Its notes, dates and development are gone for good.", "其中的 {n}会保留，并沿用它的胶卷型号、相机和镜头；胶卷的备注、日期和冲洗记录将永久删除。";
    album_delete_hint: "Its photos stay ({n}). Its title, description and order are gone for good.", "其中的 {n}会保留；标题、描述和顺序将永久删除。";
    box_iso: "ISO on the box", "标称 ISO";
    exposure_index: "Exposed at (EI)", "实际曝光指数（EI）";
    lab_hint: "Empty: developed at home", "留空表示自己冲洗";
    developer_hint: "Developer, dilution, time, temperature", "显影液、稀释比例、时间、温度";
    album: "Album", "相册";
    trip: "Trip", "旅程";
    kind: "Kind", "类型";
    description: "Description", "描述";
    starts_on: "First day", "开始日期";
    ends_on: "Last day", "结束日期";
    new_album: "New album or trip", "新建相册或旅程";
    album_created: "The album is there.", "相册已创建。";
    album_order: "Photos and their order", "照片与顺序";
    album_order_hint: "Drag them, move them with Alt and the arrow keys, or number them.", "可以拖动、按 Alt 加方向键移动，或填写序号。";
    album_empty: "No photos in it yet: select some in the studio and add them.", "还没有照片：在后台勾选照片后加入。";
    order: "Position", "序号";
    take_out: "Take out", "移出";
    save_order: "Save the order", "保存顺序";
    sort_by_date: "Sort by date", "按日期排序";
    sort_by_frame: "Sort by roll and frame", "按胶卷和格号排序";
    view: "View", "查看";

    // Site.
    site: "Site", "站点";
    users: "People", "用户";
    figures: "Figures", "概况";
    accounts: "Accounts", "账户";
    in_trash: "In the trash", "回收站";
    originals: "Originals", "原图";
    queue: "In the queue", "排队任务";
    failed_jobs: "Given up", "失败任务";
    pending_uploads: "Uploads on their way", "进行中的上传";
    backend_local: "Media folder", "媒体文件夹";
    backend_upyun: "Upyun", "又拍云";
    backend_s3: "S3 object store", "S3 对象存储";
    schema: "Schema", "数据库版本";
    release: "Release", "版本";
    direct_upload: "Direct upload", "直传";
    image_processing: "Image styles of the store", "又拍云图片处理（缩略图版本）";
    on: "on", "开";
    off: "off", "关";
    storage: "Storage", "存储";
    backend: "Backend", "后端";
    jobs: "Jobs", "任务";
    jobs_none: "Nothing waits.", "没有等待中的任务。";
    job_kind: "Work", "类型";
    subject: "About", "对象";
    state: "State", "状态";
    attempts: "Tries", "次数";
    job_error: "Why", "原因";
    due: "Due", "计划时间";
    retried: "It is tried again.", "已重新排队。";
    kind_ingest: "Make a photo of an upload", "将上传的文件制成照片";
    kind_recheck: "Look at an upload once more", "复查直传文件";
    kind_relocate: "Move an original out of sight", "转移原图";
    kind_discard: "Delete a file", "删除文件";
    kind_integrity: "Check of all files", "检查全部文件";
    kind_sweep: "Clearing up", "定期清理";
    state_waiting: "waiting", "等待";
    state_running: "running", "运行中";
    state_failed: "given up", "失败";
    why_killed: "The process ended each time while it was at work on this.", "每次处理到这里时，进程都意外结束。";
    why_panicked: "The program failed at this. It is a fault of ours.", "程序在此出错，这是我们的问题。";
    why_internal: "Something in the service went wrong.", "服务内部出错。";
    why_database: "The database did not answer.", "数据库没有响应。";
    why_store: "The object store did not answer.", "对象存储没有响应。";
    why_not_there: "The file has not arrived in the object store.", "文件尚未到达对象存储。";
    why_given_up: "The upload was given up.", "上传已取消。";
    why_busy: "The service was at its limit.", "服务达到上限。";
    why_other: "It failed.", "处理失败。";
    details: "Details", "详细信息";
    fault_original_missing: "The original is missing.", "原图缺失。";
    fault_original_size: "The original has another size than it had (bytes now / then).", "原图大小与存入时不同（现在 / 当时的字节数）。";
    fault_original_replaced: "The original is another file.", "原图已变成另一个文件。";
    fault_original_damaged: "The original does not have the bytes that were stored.", "原图内容与存入时不一致。";
    fault_file_missing: "A size of the photo is missing.", "缺少一种尺寸的图片。";
    fault_file_empty: "A size of the photo is an empty file.", "有一种尺寸的图片是空文件。";
    fault_not_shown: "The CDN does not show it.", "CDN 无法显示。";
    fault_unreadable: "It could not be looked at.", "无法检查。";
    fault_other: "Something is wrong with it.", "存在问题。";
    integrity: "Integrity", "完整性";
    integrity_hint: "Looks at every file of every photo, and reads the originals in the media folder to the last byte.", "检查每张照片的所有文件，并逐字节核对媒体文件夹中的原图。";
    integrity_run: "Check now", "立即检查";
    integrity_running: "A check is running.", "正在检查。";
    integrity_started: "The check has started.", "检查已开始。";
    integrity_never: "Not checked yet.", "尚未检查。";
    integrity_good: "All files are as they should be.", "所有文件完好。";
    checked_at: "Last check", "上次检查";
    new_account: "New account", "新建账户";
    role: "Role", "角色";
    role_user: "Photographer", "摄影师";
    role_admin: "Admin", "管理员";
    active: "Active", "已启用";
    invited: "Invited", "待设置密码";
    disabled: "Locked out", "已停用";
    disable: "Lock out", "停用";
    enable: "Let in again", "恢复";
    new_link: "New set-up link", "新的设置链接";
    link_once: "Send this link to {n}. It works once and is not shown again.", "请把这个链接发给 {n}。链接只能用一次，且不再显示。";
    owner: "Owner", "所有者";
    created_on: "Since", "创建于";

    // What was done, and what went wrong.
    uploaded: "The photos are in.", "照片已上传。";
    duplicates: "These photos were here already. Nothing was stored twice.", "这些照片已经存在，没有重复存储。";
    partly: "Some files were refused.", "部分文件未能上传。";
    saved: "Saved.", "已保存。";
    deleted: "Deleted.", "已删除。";
    trashed: "Moved to the trash.", "已移到回收站。";
    restored: "Restored.", "已恢复。";
    nothing_selected: "Nothing was selected.", "没有选择照片。";
    unsure: "Tick the box first: what is deleted for ever cannot be brought back.", "请先勾选确认：永久删除后无法恢复。";
    not_found: "There is nothing here.", "页面不存在。";
    error_title: "That did not work", "出错了";
    wrong_login: "Email or password is wrong.", "邮箱或密码不正确。";
    too_many_attempts: "Too many attempts. Try again later.", "尝试次数过多，请稍后再试。";
    csrf: "The page was out of date. Reload it and try again.", "页面已过期，请刷新后重试。";
    bad_request: "Something in the form is missing, wrong or too long.", "表单内容缺失、有误或过长。";
    wrong_field: "“{n}” is missing, wrong or too long. Nothing has been saved yet.", "“{n}”缺失、有误或过长，尚未保存。";
    wrong_order: "“{n}” is before “{m}”. Nothing has been saved yet.", "“{n}”早于“{m}”，尚未保存。";
    csrf_again: "The page was out of date. What you wrote is still here: send it once more.", "页面已过期，你填写的内容还在，请再提交一次。";
    weak_password: "The password must have 10 characters or more.", "密码至少需要 10 个字符。";
    too_large: "The file is too large.", "文件太大。";
    unsupported_type: "Only JPEG, PNG, WebP and TIFF images can be uploaded.", "只支持 JPEG、PNG、WebP 和 TIFF 图片。";
    bad_image: "The image is broken or has too many pixels.", "图片已损坏或像素过多。";
    no_such_roll: "The roll is not there, or belongs to somebody else.", "这卷胶卷不存在，或属于其他用户。";
    no_such_album: "The album is not there, or belongs to somebody else.", "这个相册不存在，或属于其他用户。";
    conflict: "It is there already.", "已经存在。";
    forbidden: "This account may not do that.", "当前账户无权进行此操作。";
    unavailable: "The service is not available at the moment. Try again soon.", "服务暂时不可用，请稍后再试。";
}
