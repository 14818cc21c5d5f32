use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderName, Method};
use pingora_http::{RequestHeader, ResponseHeader};
use wiregate_sdk::cache::{Plan, Policy, SetCookie, Statuses};

use super::request::Wishes;
use super::storing::{Asked, Why, meta};
use super::{Came, marks};
use crate::cache::Stored;

pub(super) type Lines<'a> = &'a [(&'static str, &'a str)];

pub(super) struct Case {
    policy: Policy,
    caller: Option<String>,
    identified: bool,
    method: Method,
    request: Vec<(&'static str, String)>,
}

pub(super) fn case() -> Case {
    Case {
        policy: Policy {
            store: 0,
            ttl: Vec::new(),
            force: false,
            guess: (0.1, Duration::from_secs(86_400)),
            while_revalidate: Duration::ZERO,
            if_error: Duration::ZERO,
            vary: Vec::new(),
            tags: None,
            set_cookie: SetCookie::Pass,
            ignores_cookies: false,
            obeys_requests: true,
            tells: true,
            patience: Duration::from_secs(5),
            remember: Duration::from_secs(5),
        },
        caller: None,
        identified: false,
        method: Method::GET,
        request: Vec::new(),
    }
}

pub(super) fn response(status: u16, lines: Lines<'_>) -> ResponseHeader {
    let mut head = ResponseHeader::build(status, None).unwrap();
    for (name, value) in lines {
        head.append_header(*name, *value).unwrap();
    }
    head
}

impl Case {
    fn request(mut self, name: &'static str, value: &str) -> Self {
        self.request.push((name, value.to_owned()));
        self
    }

    fn meta(self, status: u16, lines: Lines<'_>) -> Result<Stored, Why> {
        let head = response(status, lines);
        self.of(|plan, asked, came| meta(plan, asked, &head, came))
    }

    pub(super) fn of<T>(self, make: impl FnOnce(&Plan, &Asked<'_>, Came) -> T) -> T {
        let mut head = RequestHeader::build(self.method, b"/", None).unwrap();
        for (name, value) in &self.request {
            head.append_header(*name, value).unwrap();
        }
        let wishes = Wishes::of(&head.headers);
        let asked = Asked {
            head: &head,
            wishes: &wishes,
            identified: self.identified,
        };
        let plan = Plan {
            policy: Arc::new(self.policy),
            key: Vec::new(),
            caller: self.caller,
        };
        let came = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_600_000);
        make(&plan, &asked, Came::new(came, Duration::ZERO))
    }

    fn why(self, status: u16, lines: Lines<'_>) -> Why {
        self.meta(status, lines).err().unwrap_or("stored")
    }

    fn lifetime(self, status: u16, lines: Lines<'_>) -> Option<u64> {
        let meta = self.meta(status, lines);
        meta.ok().map(|meta| meta.times.lifetime.as_secs())
    }
}

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

#[test]
fn rfc9111_3_what_is_fresh_is_stored_whatever_its_status() {
    for status in [200, 201, 299, 302, 400, 404, 499, 500, 503, 599] {
        assert_eq!(case().lifetime(status, &[FRESH]), Some(60), "{status}");
    }
}

#[test]
fn rfc9111_3_parts_and_answers_to_conditions_are_not() {
    for status in [206, 304, 412, 416] {
        assert_eq!(case().why(status, &[FRESH]), "status", "{status}");
    }
    for method in [Method::HEAD, Method::POST] {
        let case = Case { method, ..case() };
        assert_eq!(case.why(200, &[FRESH]), "method");
    }
}

#[test]
fn rfc9111_5_2_2_5_and_5_2_2_7_no_store_and_private() {
    assert_eq!(
        case().why(200, &[FRESH, ("cache-control", "no-store")]),
        "no-store"
    );
    assert_eq!(
        case().why(200, &[FRESH, ("cache-control", "private")]),
        "private"
    );
    let own = Case {
        caller: Some("ann".into()),
        ..case()
    };
    assert_eq!(
        own.lifetime(200, &[FRESH, ("cache-control", "private")]),
        Some(60)
    );
}

#[test]
fn rfc9111_5_2_1_5_nothing_of_a_request_with_no_store_is_stored() {
    let asks = || case().request("cache-control", "no-store");
    assert_eq!(asks().why(200, &[FRESH]), "request-no-store");
    let mut asks = asks();
    asks.policy.obeys_requests = false;
    assert_eq!(asks.why(200, &[FRESH]), "stored");
}

#[test]
fn rfc9111_5_2_2_3_must_understand_takes_the_place_of_no_store() {
    let lines = [FRESH, ("cache-control", "no-store, must-understand")];
    assert_eq!(case().lifetime(200, &lines), Some(60));
    assert_eq!(case().why(599, &lines), "must-understand");
}

#[test]
fn rfc9111_3_5_what_was_asked_for_with_credentials_is_stored_where_it_says_so() {
    let with_field = || case().request("authorization", "Basic Og==");
    let identified = || Case {
        identified: true,
        ..case()
    };
    for asked in [with_field, identified] {
        assert_eq!(asked().why(200, &[FRESH]), "authorization");
        for terms in ["public", "must-revalidate", "s-maxage=60"] {
            let lines = [FRESH, ("cache-control", terms)];
            assert_eq!(asked().lifetime(200, &lines), Some(60), "{terms}");
        }
        let own = Case {
            caller: Some("ann".into()),
            ..asked()
        };
        assert_eq!(own.lifetime(200, &[FRESH]), Some(60));
    }
}

#[test]
fn a_response_that_sets_a_cookie_is_for_the_one_who_gets_it() {
    let lines = [FRESH, ("set-cookie", "a=b")];
    assert_eq!(case().why(200, &lines), "set-cookie");
    let kept = |set_cookie| {
        let mut case = case();
        case.policy.set_cookie = set_cookie;
        case.meta(200, &lines).unwrap().head.response()
    };
    assert!(!kept(SetCookie::Strip).headers.contains_key("set-cookie"));
    assert_eq!(kept(SetCookie::Keep).headers["set-cookie"], "a=b");
}

#[test]
fn what_was_asked_for_with_a_cookie_is_stored_where_it_says_how_long_it_is_fresh() {
    let modified = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    let asks = || case().request("cookie", "session=1");
    assert_eq!(asks().lifetime(200, &[FRESH]), Some(60));
    assert_eq!(asks().why(200, &[modified]), "cookie");
    let mut configured = asks();
    configured.policy.ttl = vec![(
        Statuses {
            first: 200,
            last: 200,
        },
        Duration::from_secs(9),
    )];
    assert_eq!(configured.why(200, &[]), "cookie");
    let mut ignoring = asks();
    ignoring.policy.ignores_cookies = true;
    assert_eq!(ignoring.lifetime(200, &[modified]), Some(86_400));
}

#[test]
fn rfc9111_4_2_2_a_lifetime_is_guessed_where_nothing_else_says_so() {
    let modified = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(case().lifetime(200, &[modified]), Some(86_400));
    assert_eq!(case().why(403, &[modified]), "no-lifetime");
    // It can be validated.
    assert_eq!(case().lifetime(200, &[("etag", "\"a\"")]), Some(0));
    assert_eq!(case().why(200, &[]), "stale");
}

#[test]
fn a_configured_ttl_holds_where_the_response_says_nothing() {
    let case = |force| {
        let mut case = case();
        case.policy.ttl = vec![(
            Statuses {
                first: 400,
                last: 499,
            },
            Duration::from_secs(9),
        )];
        case.policy.force = force;
        case
    };
    assert_eq!(case(false).lifetime(403, &[]), Some(9));
    assert_eq!(case(false).lifetime(403, &[FRESH]), Some(60));
    assert_eq!(
        case(false).why(403, &[("cache-control", "no-store")]),
        "no-store"
    );
    assert_eq!(
        case(true).lifetime(403, &[("cache-control", "no-store")]),
        Some(9)
    );
    assert_eq!(case(true).why(200, &[FRESH]), "status");
}

#[test]
fn force_never_shares_what_is_for_one_caller() {
    let forced = || {
        let mut case = case();
        case.policy.ttl = vec![(
            Statuses {
                first: 200,
                last: 599,
            },
            Duration::from_secs(9),
        )];
        case.policy.force = true;
        case
    };
    assert_eq!(
        forced().request("authorization", "x").why(200, &[]),
        "authorization"
    );
    assert_eq!(
        Case {
            identified: true,
            ..forced()
        }
        .why(200, &[]),
        "authorization"
    );
    assert_eq!(forced().why(200, &[("set-cookie", "a=b")]), "set-cookie");
    assert_eq!(forced().why(200, &[("vary", "*")]), "vary");
    let private = [("cache-control", "private, no-store")];
    assert_eq!(forced().why(200, &private), "private");
    assert_eq!(
        forced().request("cookie", "session=ann").why(200, &[]),
        "cookie"
    );
}

#[test]
fn rfc5861_windows_come_from_the_response_then_from_the_policy() {
    let windows = |terms: &str| {
        let mut case = case();
        case.policy.while_revalidate = Duration::from_secs(7);
        case.policy.if_error = Duration::from_secs(8);
        let times = case.meta(200, &[("cache-control", terms)]).unwrap().times;
        (times.while_revalidate.as_secs(), times.if_error.as_secs())
    };
    assert_eq!(windows("max-age=60"), (7, 8));
    let own = "max-age=60, stale-while-revalidate=1, stale-if-error=2";
    assert_eq!(windows(own), (1, 2));
    // `s-maxage` forbids what the response does not allow itself (RFC 9111, 5.2.2.10).
    assert_eq!(windows("s-maxage=60"), (0, 0));
    assert_eq!(windows("s-maxage=60, stale-while-revalidate=1"), (1, 0));
    for terms in ["must-revalidate", "proxy-revalidate"] {
        let text = format!("max-age=60, stale-while-revalidate=1, {terms}");
        assert_eq!(windows(&text), (0, 0));
    }
}

#[test]
fn the_policy_extends_no_lifetime_that_there_is_not() {
    let stored = |lines: Lines<'_>| {
        let mut case = case();
        case.policy.while_revalidate = Duration::from_secs(3600);
        case.meta(200, lines)
            .map(|meta| meta.times.while_revalidate.as_secs())
    };
    let nothing: [Lines<'_>; 5] = [
        &[],
        &[("cache-control", "max-age=0")],
        &[("cache-control", "public")],
        &[("expires", "0")],
        &[("pragma", "no-cache")],
    ];
    for lines in nothing {
        assert_eq!(stored(lines), Err("stale"), "{lines:?}");
    }
    assert_eq!(
        stored(&[("etag", "\"a\"")]),
        Ok(0),
        "it is validated each time"
    );
    assert_eq!(stored(&[("cache-control", "max-age=1")]), Ok(3600));
    let own = [("cache-control", "max-age=0, stale-while-revalidate=5")];
    assert_eq!(stored(&own), Ok(5), "it says so itself");
}

#[test]
fn rfc9111_3_1_fields_for_one_hop_are_not_stored_and_a_date_is_there() {
    let lines = [
        FRESH,
        ("proxy-authenticate", "Basic"),
        ("proxy-authentication-info", "x"),
        ("te", "trailers"),
        ("age", "5"),
        ("x-own", "1"),
    ];
    let meta = case().meta(200, &lines).unwrap();
    let head = meta.head.response();
    let mut names: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cache-control", "date", "x-own"]);
    assert_eq!(meta.times.age.as_secs(), 5);
}

#[test]
fn tags_are_read_bounded_and_not_sent() {
    let tagged = |value: &str| {
        let mut case = case();
        case.policy.tags = Some("cache-tag".parse().unwrap());
        case.meta(200, &[FRESH, ("cache-tag", value)])
    };
    let meta = tagged("b, a c,a").unwrap();
    let tags: Vec<_> = meta.tags.iter().map(|tag| &**tag).collect();
    assert_eq!(tags, ["a", "b", "c"]);
    let same = tagged(&"a,".repeat(10_000)).unwrap();
    assert_eq!(same.tags.capacity(), 1, "what is kept takes what it needs");
    assert!(
        meta.head
            .get(&HeaderName::from_static("cache-tag"))
            .is_none()
    );
    assert_eq!(tagged(&"x".repeat(257)).err(), Some("tags"));
    let many: Vec<_> = (0..257).map(|n| n.to_string()).collect();
    assert_eq!(tagged(&many.join(",")).err(), Some("tags"));
}

#[test]
fn rfc9111_4_1_selectors_come_from_vary_and_from_the_policy() {
    let mut case = case().request("foo", "1").request("bar", "2");
    case.policy.vary = vec!["bar".parse().unwrap()];
    let meta = case.meta(200, &[FRESH, ("vary", "foo")]).unwrap();
    let names: Vec<_> = meta.vary.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["bar", "foo"]);
}

#[test]
fn marks_tell_what_the_terms_were() {
    let of = |terms| {
        case()
            .meta(200, &[("etag", "\"a\""), ("cache-control", terms)])
            .unwrap()
            .marks
    };
    assert_eq!(of("max-age=1"), 0);
    assert_eq!(of("no-cache"), marks::NO_CACHE | marks::STRICT);
    assert_eq!(of("s-maxage=1"), marks::STRICT);
    assert_eq!(of("max-age=1, immutable"), marks::IMMUTABLE);
}
