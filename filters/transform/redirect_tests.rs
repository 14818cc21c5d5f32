use super::*;
use wiregate_sdk::testing::{Call, Seen, probe, refusal};

fn where_to(seen: &Seen) -> (u16, Option<&str>) {
    (seen.status(), seen.header("location"))
}

async fn location(
    options: &str,
    call: impl FnOnce(&wiregate_sdk::testing::Probe) -> Call,
) -> String {
    let seen = call(&probe::<Redirect>(options)).send().await;
    let location = seen.header("location").map(str::to_owned);
    location.unwrap_or_else(|| panic!("{options}: {:?}", seen.reply))
}

#[tokio::test]
async fn sends_everybody_to_one_place() {
    let seen = probe::<Redirect>("https://new.example.com/a b")
        .get("/x?y")
        .send()
        .await;
    assert_eq!(
        where_to(&seen),
        (307, Some("https://new.example.com/a%20b"))
    );
    assert!(seen.reply.unwrap().reason().is_none());
    let seen = probe::<Redirect>("{ to: /login, status: 303 }")
        .get("/")
        .send()
        .await;
    assert_eq!(where_to(&seen), (303, Some("/login")));
}

#[tokio::test]
async fn knows_all_statuses() {
    for status in [301, 302, 303, 307, 308] {
        let filter = probe::<Redirect>(&format!("{{ to: /a, status: {status} }}"));
        assert_eq!(filter.get("/").send().await.status(), status);
    }
}

#[tokio::test]
async fn takes_the_path_along() {
    let to = "https://new.example.com${request.path}";
    assert_eq!(
        location(to, |f| f.get("/a%2Fb/c?d")).await,
        "https://new.example.com/a%2Fb/c"
    );
    let to = "https://new.example.com/v2/${request.path.substring(3)}";
    assert_eq!(
        location(to, |f| f.get("/v1/a")).await,
        "https://new.example.com/v2/a"
    );
}

#[tokio::test]
async fn a_path_does_not_become_a_host() {
    for to in [
        "${request.path}",
        "/${request.path}",
        "/${request.path.substring(5)}",
    ] {
        for path in [
            "//evil.example",
            "/open//evil.example",
            "///evil.example/%2e%2e",
        ] {
            let seen = location(to, |f| f.get("/").rewritten(path)).await;
            assert!(
                seen.starts_with('/') && !seen.starts_with("//"),
                "{to} {path}: {seen}"
            );
        }
    }
    for value in [
        "/evil.example",
        "//evil.example",
        "\\evil.example",
        "/\\evil.example",
    ] {
        let seen = location("/${params.x}", |f| f.get("/").param("x", value)).await;
        assert!(!seen[1..].contains(['/', '\\']), "{value}: {seen}");
    }
}

#[tokio::test]
async fn what_is_cut_from_a_path_does_not_become_a_host() {
    for (to, path, expected) in [
        ("https://a.example", "/old", "https://a.example"),
        ("https://a.example", "/old/x", "https://a.example/x"),
        (
            "https://a.example",
            "/old.evil.example",
            "https://a.example/.evil.example",
        ),
        (
            "https://a.example",
            "/old-x.evil.example:8443",
            "https://a.example/-x.evil.example:8443",
        ),
        (
            "https://a.example",
            "/old@evil.example/",
            "https://a.example/@evil.example/",
        ),
        ("", "/old", "/"),
        ("", "/oldhttps://evil.example/", "/https://evil.example/"),
        ("", "/old//evil.example", "/evil.example"),
    ] {
        let to = format!("{to}${{request.path.substring(4)}}");
        let seen = location(&to, |f| f.get("/").rewritten(path)).await;
        assert_eq!(seen, expected, "{to} {path}");
    }
}

#[tokio::test]
async fn a_value_stays_where_it_is_put() {
    let to = "https://a.example/x/${params.v}?q=${params.v}#${params.v}";
    let seen = location(to, |f| f.get("/").param("v", "a/b?c&d#e\r\n")).await;
    let value = "a%2Fb%3Fc%26d%23e%0D%0A";
    assert_eq!(
        seen,
        format!("https://a.example/x/{value}?q={value}#{value}")
    );
}

#[tokio::test]
async fn a_host_must_be_one() {
    let filter = probe::<Redirect>("https://${params.t}.example.com/");
    let seen = filter.get("/").param("t", "acme").send().await;
    assert_eq!(seen.header("location"), Some("https://acme.example.com/"));
    for bad in [
        "",
        "evil.example/",
        "evil.example?",
        "evil.example#",
        "a@evil",
        "\\",
        "a b",
        ".",
    ] {
        let seen = filter.get("/").param("t", bad).send().await;
        assert_eq!(
            (seen.status(), seen.reason()),
            (400, Some("invalid_redirect")),
            "{bad}"
        );
    }
    let to = "${request.scheme}://${request.host}/new";
    assert_eq!(location(to, |f| f.get("/")).await, "http://example.com/new");
}

#[tokio::test]
async fn a_url_that_a_request_chooses_is_one_of_the_web() {
    let filter = probe::<Redirect>("${request.query.next}");
    for (next, seen) in [
        ("https://a.example/b?c=d%26e", "https://a.example/b?c=d&e"),
        ("/inside", "/inside"),
        ("//evil.example/x", "/evil.example/x"),
        ("/%5Cevil.example", "/%5Cevil.example"),
        (
            "https://a.example/%0D%0Aset-cookie:a",
            "https://a.example/%0D%0Aset-cookie:a",
        ),
    ] {
        let call = filter.get(&format!("/?next={}", next.replace('&', "%26")));
        assert_eq!(call.send().await.header("location"), Some(seen), "{next}");
    }
    for bad in [
        "",
        "javascript:alert(1)",
        "javascript://a/%250aalert(1)",
        "data:x",
        "x",
        "https://",
    ] {
        let seen = filter.get(&format!("/?next={bad}")).send().await;
        assert_eq!(
            (seen.status(), seen.reason()),
            (400, Some("invalid_redirect")),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn keeps_the_query_where_asked_to() {
    for (to, seen) in [
        ("/a", "/a?x=%22&y"),
        ("/a?b=c", "/a?b=c&x=%22&y"),
        ("/a#d", "/a?x=%22&y#d"),
        ("https://a.example", "https://a.example?x=%22&y"),
    ] {
        let options = format!("{{ to: '{to}', keep_query: true }}");
        assert_eq!(location(&options, |f| f.get("/?x=%22&y")).await, seen);
        assert_eq!(location(&options, |f| f.get("/?")).await, to);
        assert_eq!(location(&options, |f| f.get("/")).await, to);
    }
    assert_eq!(location("/a", |f| f.get("/?x")).await, "/a");
}

#[tokio::test]
async fn goes_over_to_https() {
    let filter = probe::<Redirect>("{ https: true, status: 308 }");
    let seen = filter
        .get("/a%20b?c=d")
        .header("host", "Example.com:8080")
        .send()
        .await;
    assert_eq!(
        where_to(&seen),
        (308, Some("https://example.com/a%20b?c=d"))
    );
    let seen = filter.get("/").header("host", "[::1]:80").send().await;
    assert_eq!(seen.header("location"), Some("https://[::1]/"));
    let seen = filter.request("OPTIONS", "*").send().await;
    assert_eq!(seen.header("location"), Some("https://example.com/"));
    let seen = filter.get("/").header("host", "a/b").send().await;
    assert_eq!(
        (seen.status(), seen.reason()),
        (400, Some("invalid_redirect"))
    );
    let seen = filter.get("/").scheme("https").send().await;
    assert_eq!((seen.status(), seen.reason()), (500, Some("redirect_loop")));
}

#[test]
fn refuses_what_could_not_work() {
    let begin = "expected a URL such as `https://example.com/`, or a path such as `/new`";
    for (options, expected) in [
        ("{}", "1:1: expected `to`, or `https: true`".to_owned()),
        (
            "https: false",
            "1:1: expected `to`, or `https: true`".to_owned(),
        ),
        (
            "{ to: /a, https: true }",
            "1:18: expected `to` or `https`, found both".to_owned(),
        ),
        (
            "{ https: true, keep_query: true }",
            "1:28: expected `keep_query` with `to` only: with `https` the query stays".to_owned(),
        ),
        ("example.com", format!("1:1: {begin}, at its beginning")),
        (
            "to: //example.com",
            format!("1:5: {begin}, at its beginning"),
        ),
        ("to: ''", format!("1:5: {begin}, at its beginning")),
        (
            "to: 'mailto:a@b'",
            format!("1:5: {begin}, at its beginning"),
        ),
        (
            "to: 'https://'",
            format!("1:5: {begin}: its host is not valid"),
        ),
        (
            "to: 'https://a@b/'",
            format!("1:5: {begin}: its host is not valid"),
        ),
        (
            "to: '1a://b/'",
            format!("1:5: {begin}: its scheme is not valid"),
        ),
        (
            "{ to: /a, status: 200 }",
            "1:19: expected 301, 302, 303, 307 or 308, found `200`".to_owned(),
        ),
    ] {
        assert_eq!(refusal::<Redirect>(options), expected, "{options}");
    }
    let early = "`response.status` is not known here: there is no response yet";
    for (options, place) in [
        ("'/${response.status}'", "1:1"),
        ("to: '/${response.status}'", "1:5"),
    ] {
        assert_eq!(refusal::<Redirect>(options), format!("{place}: {early}"));
    }
    assert!(refusal::<Redirect>("to: '/${pth}'").contains("unknown name"));
    assert!(refusal::<Redirect>("{ to: /a, stauts: 301 }").contains("did you mean `status`?"));
}
