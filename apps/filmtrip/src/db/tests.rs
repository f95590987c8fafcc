//! How many statements the large changes take: the database has one writer, and each of them is a way to it and back.

use super::sql::{Sql, Value, statements};
use super::visibility::Viewer;
use super::{accounts, albums, jobs, migrations, photos, rolls};
use crate::model::{AlbumBody, PhotoChange, RollBody, UserRole, Visibility};

const PHOTOS: usize = 300;

/// A database with an account, its photos, and a roll.
fn filled() -> (Sql, i64, Vec<i64>) {
    let mut sql = Sql::Sqlite(rusqlite::Connection::open_in_memory().expect("memory"));
    migrations::migrate(&mut sql, migrations::NEWEST).expect("schema");
    let owner =
        accounts::create(&mut sql, "a@example.com", UserRole::User, None).expect("account").expect("new");
    let insert = "INSERT INTO photos (key, owner_id, original_key, format, bytes, sha256, width, height, sizes, title,
                                      visibility, backend, created_at)
                  VALUES (?1, ?2, ?1, 'jpg', 1, '', 3, 2,
                          '{\"thumb\":[3,2],\"preview\":[3,2],\"large\":[3,2]}', 'Old', 'public', 'local', 7)";
    for n in 0..PHOTOS {
        sql.execute(insert, &[format!("photo {n}").into(), owner.into()]).expect("photo");
    }
    let body = RollBody { title: "Roll 7".to_owned(), ..RollBody::default() };
    rolls::create(&mut sql, owner, "roll", &body).expect("roll");
    let ids = sql.query("SELECT id FROM photos ORDER BY id", &[]).expect("ids");
    let ids = ids.iter().map(|row| row.get(0).expect("id")).collect();
    (sql, owner, ids)
}

/// The statements that some work takes.
fn counted(sql: &mut Sql, work: impl FnOnce(&mut Sql)) -> u64 {
    let before = statements();
    work(sql);
    statements() - before
}

fn number(sql: &mut Sql, query: &str) -> i64 {
    sql.value(query, &[]).expect("a number")
}

#[test]
fn many_photos_are_changed_by_few_statements() {
    let (mut sql, _, ids) = filled();
    let tags = ["one".to_owned(), "Two".to_owned()];
    let change = PhotoChange {
        title: Some(" Dawn ".to_owned()),
        visibility: Some(Visibility::Unlisted),
        roll: Some(Some("roll".to_owned())),
        frame: Some(Some(7)),
        ..PhotoChange::default()
    };
    let taken = counted(&mut sql, |sql| {
        photos::change_all(sql, &ids, &change).expect("changed");
        photos::add_tags_to(sql, &ids, &tags).expect("tagged");
        photos::remove_tags(sql, &ids[..10], &tags[1..]).expect("untagged");
        photos::refresh_search(sql, &ids).expect("search");
        photos::trash_all(sql, &ids[..5]).expect("trashed");
        photos::restore(sql, &ids[..2]).expect("restored");
    });
    assert!(taken < 16, "{taken} statements");
    let all = i64::try_from(PHOTOS).expect("few");
    let same = "title = 'Dawn' AND frame = 7 AND roll_id IS NOT NULL";
    assert_eq!(number(&mut sql, &format!("SELECT count(*) FROM photos WHERE {same}")), all);
    assert_eq!(number(&mut sql, "SELECT count(*) FROM photos WHERE visibility = 'private'"), 3);
    assert_eq!(number(&mut sql, "SELECT count(*) FROM photos WHERE visibility = 'unlisted'"), all - 3);
    assert_eq!(number(&mut sql, "SELECT count(*) FROM photo_tags WHERE tag = 'two'"), all - 10);
    // Each has its own text, and in it what its roll and its tags say.
    let first = photos::by_id(&mut sql, ids[0]).expect("read").expect("there");
    assert_eq!((first.title.as_str(), first.tags.as_slice()), ("Dawn", &["one".to_owned()][..]));
    assert_eq!(
        number(&mut sql, "SELECT count(*) FROM photos WHERE search LIKE '%dawn%two%roll 7%'"),
        all - 10
    );
    // What is in the trash gets the new visibility when it comes back.
    let change = PhotoChange { visibility: Some(Visibility::Public), ..PhotoChange::default() };
    photos::change_all(&mut sql, &ids[..5], &change).expect("changed");
    assert_eq!(number(&mut sql, "SELECT count(*) FROM photos WHERE visibility = 'private'"), 3);
    photos::restore(&mut sql, &ids[..5]).expect("restored");
    assert_eq!(number(&mut sql, "SELECT count(*) FROM photos WHERE visibility = 'public'"), 5);
}

#[test]
fn an_album_is_put_in_order_and_a_shelf_read_by_few_statements() {
    let (mut sql, owner, ids) = filled();
    for n in 0..40 {
        let visibility = [Visibility::Public, Visibility::Unlisted][n % 2];
        let body = AlbumBody { title: format!("Album {n}"), visibility, ..AlbumBody::default() };
        albums::create(&mut sql, owner, &format!("album {n}"), &body).expect("album");
    }
    let (shelf, more) = albums::page(&mut sql, Viewer::User(owner), true, None, 100).expect("albums");
    assert!(!more);
    let (public, unlisted) = (&shelf[39], &shelf[38]);
    let backwards: Vec<i64> = ids.iter().rev().copied().collect();
    let taken = counted(&mut sql, |sql| {
        for album in [public, unlisted] {
            albums::set_photos(sql, album.id, &backwards[..200]).expect("in order");
            // Those that are in it stay where they are.
            albums::append(sql, &album.key, owner, &ids).expect("appended");
        }
    });
    assert!(taken < 16, "{taken} statements");
    let hide = |sql: &mut Sql, id: i64, visibility: &str| {
        let query = "UPDATE photos SET visibility = ?1 WHERE id = ?2";
        sql.execute(query, &[Value::from(visibility), id.into()]).expect("hidden");
    };
    hide(&mut sql, backwards[0], "private");
    hide(&mut sql, backwards[1], "unlisted");
    for (viewer, most, firsts) in [
        (Viewer::Anonymous, PHOTOS as u64 - 2, [backwards[2], backwards[1]]),
        (Viewer::User(owner), PHOTOS as u64, [backwards[0], backwards[0]]),
        (Viewer::Admin, PHOTOS as u64, [backwards[0], backwards[0]]),
    ] {
        let mut content = std::collections::HashMap::new();
        let taken =
            counted(&mut sql, |sql| content = albums::contents(sql, &shelf, viewer).expect("contents"));
        assert!(taken <= 4, "{taken} statements");
        assert_eq!(content.len(), 2, "{viewer:?}: an album without photos is left out");
        let (count, first) = &content[&public.id];
        assert_eq!((*count, first.id), (most, firsts[0]), "{viewer:?}");
        let (count, first) = &content[&unlisted.id];
        assert_eq!((*count, first.id), (most + u64::from(most < PHOTOS as u64), firsts[1]), "{viewer:?}");
    }
}

#[test]
fn jobs_are_queued_by_one_statement_and_begin_anew_like_single_ones() {
    let (mut sql, ..) = filled();
    let subjects: Vec<String> = (0..100).map(|n| format!("photo {n}")).collect();
    assert_eq!(counted(&mut sql, |sql| jobs::enqueue_all(sql, "relocate", &subjects).expect("queued")), 1);
    sql.execute("UPDATE jobs SET failed_at = 1, attempts = 9 WHERE subject = 'photo 7'", &[])
        .expect("failed");
    jobs::enqueue_all(&mut sql, "relocate", &subjects).expect("queued");
    assert_eq!(number(&mut sql, "SELECT count(*) FROM jobs WHERE failed_at IS NULL AND attempts = 0"), 100);
    jobs::enqueue_all(&mut sql, "relocate", &[]).expect("none");
}
