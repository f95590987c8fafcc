//! A deploy changes where users reach the app.

use safelight_testkit::bed::{Bed, Release};

#[test]
fn a_new_address_and_another_spelling_of_a_path_go_through_the_dark_test_to_users() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    let url = format!("url = \"http://shop.localhost:{}\"", bed.addr().port());
    let more = format!("{url}\nurls = [\"http://Store.localhost:{}\"]", bed.addr().port());
    bed.configure(&url, &more);
    bed.configure("path = \"/api\"", "path = \"/api/\"");
    for version in ["v2", "v3"] {
        bed.deploy(&Release::new(version, 1)).ended(0).says(&["journeys passed on test.shop.localhost"]);
        bed.serves_exactly(version);
        let (status, body) = bed.get("store.localhost", "/").unwrap();
        assert_eq!((status, body.split(' ').next()), (200, Some(version)), "{body}");
    }
    bed.nobody_was_failed();
}
