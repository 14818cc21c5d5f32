//! Secrets in every place that a stranger may put them.

use proptest::prelude::*;

use super::*;

fn named(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

#[test]
fn parameters_with_the_names_of_secrets_are_masked() {
    let by_default = Redaction::default();
    for (text, expected) in [
        ("/a?b=1&c=2", "/a?b=1&c=2"),
        ("/a?token=x", "/a?token=***"),
        (
            "/a?b=1&access_token=x&c=2#d",
            "/a?b=1&access_token=***&c=2#d",
        ),
        ("/a?API-Key=x&Api.Key=y", "/a?API-Key=***&Api.Key=***"),
        ("/a?%74oken=x", "/a?%74oken=***"),
        (
            "/a?X-Amz-Signature=x&X-Amz-Date=1",
            "/a?X-Amz-Signature=***&X-Amz-Date=1",
        ),
        // A `;` begins a name, but does not end a value.
        ("/a?b=1;sid=x;y&c=2", "/a?b=1;sid=***&c=2"),
        ("/a;jsessionid=x/b?c=1", "/a;jsessionid=***/b?c=1"),
        ("/a?to=/b?code=x&d=1", "/a?to=/b?code=***&d=1"),
        (
            "https://a/#access_token=x&state=1",
            "https://a/#access_token=***&state=1",
        ),
        (
            "https://kim:SECRET@a/b?c=1&code=x",
            "https://***@a/b?c=1&code=***",
        ),
        ("//a@b", "//***@b"),
        ("/a//b@c", "/a//b@c"),
        ("/a?token", "/a?token"),
        ("/a?token=", "/a?token=***"),
        ("?&&;#=", "?&&;#="),
        ("", ""),
    ] {
        assert_eq!(by_default.url(text), expected, "{text}");
    }
    let asked = Redaction {
        query: vec![plain("User_Id")],
        shown_query: vec![plain("page_token")],
        ..Redaction::default()
    };
    assert_eq!(
        asked.url("/?user-id=7&page_token=8&token=9"),
        "/?user-id=***&page_token=8&token=***"
    );
}

#[test]
fn each_field_is_masked_as_much_as_it_has_to_be() {
    let redaction = Redaction {
        fields: vec![named("x-own")],
        shown_fields: vec![named("x-partition-key")],
        shown_cookies: vec!["theme".to_owned()],
        ..Redaction::default()
    };
    let masked = |name: &'static str, text: &str| {
        let mask = redaction.mask(Said::Field(&named(name)));
        mask.map_or(text.to_owned(), |mask| {
            redaction.masked(mask, text).into_owned()
        })
    };
    for (name, text, expected) in [
        ("authorization", "Bearer abc", "Bearer ***"),
        ("authorization", "abc def", "***"),
        ("authorization", "abc", "***"),
        ("proxy-authorization", "Basic YTpi", "Basic ***"),
        ("cookie", "a=1; theme=dark;b", "a=***; theme=dark; ***"),
        (
            "set-cookie",
            "sid=1=2; Path=/; Secure",
            "sid=***; Path=/; Secure",
        ),
        ("set-cookie", "sid", "***"),
        ("x-api-key", "abc", "***"),
        ("x-auth-token", "abc", "***"),
        ("x-own", "abc", "***"),
        ("x-partition-key", "abc", "abc"),
        ("idempotency-key", "abc", "abc"),
        ("user-agent", "abc", "abc"),
        (
            "referer",
            "https://a/?token=1&b=2",
            "https://a/?token=***&b=2",
        ),
        ("location", "/a?code=1", "/a?code=***"),
        ("authorization", "", ""),
    ] {
        assert_eq!(masked(name, text), expected, "{name}: {text}");
    }
    assert_eq!(redaction.mask(Said::Cookie("sid")), Some(Mask::Whole));
    assert_eq!(redaction.mask(Said::Cookie("theme")), None);
    assert_eq!(redaction.mask(Said::Query("page")), None);
    assert_eq!(redaction.mask(Said::Query("id_token")), Some(Mask::Whole));
    assert_eq!(redaction.mask(Said::Target), Some(Mask::Url));
}

proptest! {
    #[test]
    fn no_secret_is_left_wherever_its_name_stands(
        before in "[a-z0-9/?&;=#%]{0,20}",
        secret in "[A-Z]{8}",
        after in "([&#][a-z0-9=&;]{0,20})?",
    ) {
        let redaction = Redaction::default();
        for delimiter in ["?", "&"] {
            let text = format!("/?{before}{delimiter}access_token={secret}{after}");
            prop_assert!(!redaction.url(&text).contains(&secret), "{}", text);
        }
    }

    #[test]
    fn never_panics(text in ".*|[?&;#=%a-z7é]*") {
        let redaction = Redaction::default();
        for mask in [Mask::Url, Mask::Cookies, Mask::SetCookie, Mask::Credentials] {
            redaction.masked(mask, &text);
        }
    }
}
