use super::*;
use proptest::prelude::*;

#[test]
fn what_is_encoded_stays_so() {
    for (written, mended) in [
        ("/a/b", "/a/b"),
        ("/a%20b%2F", "/a%20b%2F"),
        ("/a b", "/a%20b"),
        ("/100%", "/100%25"),
        ("%zz%2", "%25zz%252"),
        ("%%20", "%25%20"),
        ("/é?#", "/%C3%A9%3F%23"),
        ("/a\\b\r\n", "/a%5Cb%0D%0A"),
        ("%é", "%25%C3%A9"),
        ("", ""),
    ] {
        assert_eq!(path(written), mended, "{written}");
    }
    assert!(matches!(path("/a%20b"), Cow::Borrowed(_)));
    assert_eq!(query("a=b c?#"), "a=b%20c?%23");
}

#[test]
fn knows_paths_that_lead_elsewhere() {
    for good in ["/", "/a", "/a/", "/.a", "/...", "/a..b", "/a//b", "/%2f.."] {
        assert!(check_path(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "a",
        "*",
        "//",
        "//evil",
        "/.",
        "/..",
        "/a/../b",
        "/a/./b",
        "/%2e%2E/a",
        "/.%2e",
        "/%2e",
    ] {
        assert!(check_path(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_path_is_the_requests_or_cut_from_it() {
    for source in [
        "request.path",
        "request.path.substring(3)",
        "request.path.lowerAscii()",
    ] {
        assert!(is_path(source), "{source}");
    }
    for source in [
        "request.pathology",
        "request.query.path",
        "request.path + params.id",
        "request.path == '/' ? params.a : params.b",
        "params.id",
    ] {
        assert!(!is_path(source), "{source}");
    }
}

#[test]
fn knows_the_zone_that_comes_next() {
    for (url, zone) in [
        ("", Zone::Start),
        ("https", Zone::Start),
        ("https://", Zone::Authority),
        ("https://a.", Zone::Authority),
        ("https://a/", Zone::Path),
        ("https://a/b?c=", Zone::Behind),
        ("https://a#", Zone::Behind),
        ("/", Zone::Path),
        ("/a?u=http://", Zone::Behind),
        ("/a#", Zone::Behind),
    ] {
        assert_eq!(Zone::behind(url), zone, "{url}");
    }
}

proptest! {
    #[test]
    fn mending_is_done_once(text in "[a%2Ff/ ?#é\\\\]{0,12}|.*") {
        let once = path(&text).into_owned();
        prop_assert!(once.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#'));
        prop_assert_eq!(&*path(&once), &*once);
    }

    #[test]
    fn a_finished_location_names_no_other_host(rest in "[/\\\\a.:@?#]{0,8}") {
        let url = mend(&format!("/{rest}"), NOWHERE).into_owned();
        let location = finish(url, false).unwrap();
        prop_assert!(location.starts_with('/') && !location.starts_with("//"));
        prop_assert!(!location.contains('\\'));
    }
}
