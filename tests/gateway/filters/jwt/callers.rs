//! Who calls, and what follows from it.

use aws_lc_rs::rsa::KeySize;

use super::*;
use crate::harness::{complete, wiregate};
use crate::observe::ask_often;

#[test]
fn refusals_carry_challenges_and_the_log_says_why() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    let (gateway, _origin) = guarding(&by(
        &issuer,
        ", realm: shop, scopes: [mail, orders:read, orders:write], \
         when: 'identity.claims.level > 2 && request.path != \"/${env:KEY_OF_ANN}\"'",
    ));
    let token = |other| key.token(&issuer.url, &other);
    let all = "orders:read orders:write mail";
    let good = token(json!({ "scope": all, "level": 3 }));
    assert_eq!(gateway.bring(&good).status, 200);
    let challenge = |more: &str| format!("Bearer realm=\"shop\"{more}");
    for (number, (token, status, said, more, why)) in [
        (
            token(json!({ "exp": 1 })),
            401,
            "invalid_token",
            ", error=\"invalid_token\"",
            "the token has expired (`exp`)",
        ),
        (
            token(json!({ "aud": "other" })),
            401,
            "invalid_token",
            ", error=\"invalid_token\"",
            "the token is for another audience (`aud`)",
        ),
        (
            token(json!({ "scope": "mail", "level": 3 })),
            403,
            "insufficient_scope",
            ", error=\"insufficient_scope\", scope=\"mail orders:read orders:write\"",
            "the token does not have `orders:read`, `orders:write` among its scopes",
        ),
        (
            token(json!({ "scope": all, "level": 1 })),
            403,
            "not_allowed",
            ", error=\"insufficient_scope\"",
            "`when` does not hold: identity.claims.level > 2 && request.path != \"/${env:KEY_OF_ANN}\"",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = gateway.bring(&token);
        assert_eq!((answer.status, &*reason(&answer)), (status, said));
        assert_eq!(answer.header("www-authenticate"), challenge(more));
        let text = answer.text();
        assert!(
            !text.contains(why) && !text.contains("orders") && !text.contains("level"),
            "{text}"
        );
        assert_eq!(gateway.why(number + 2), why);
    }
    let answer = gateway.ask("/", &[]);
    assert_eq!((answer.status, &*reason(&answer)), (401, "missing_token"));
    assert_eq!(answer.header("www-authenticate"), challenge(""));
    let log = gateway.access_log(6);
    assert_eq!(log[0]["identity"], "ann");
    assert_eq!(
        log[3]["identity"], "ann",
        "who was refused for what they may do is known"
    );
    assert!(log[1].get("identity").is_none());
    gateway.counts("refusals", "guarded", "jwt", 5.0);
    let text = std::fs::read_to_string(gateway.file("access.log")).unwrap();
    assert!(
        !text.contains("eyJ") && !text.contains(KEY_OF_ANN),
        "{text}"
    );
}

#[test]
fn a_claim_says_which_consumer_calls() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    let consumers = format!(
        "consumers:\n  acme:\n    plan: gold\n    groups: [partners]\n    credentials:\n      \
         jwt: [{{ issuer: \"{}\", subject: acme-client }}, {{ issuer: \"https://other.example\", subject: other }}]\n",
        issuer.url
    );
    let (gateway, origin) = forwarding(&format!(
        "{consumers}{}",
        routes(&by(&issuer, ", consumer: azp"))
    ));
    let token = |azp: &str| key.token(&issuer.url, &json!({ "azp": azp, "groups": ["eu"] }));
    let answer = gateway.bring(&token("acme-client"));
    let fields = ["x-user", "x-consumer", "x-plan", "x-groups"].map(|field| saw(&answer, field));
    assert_eq!(fields, ["ann", "acme", "gold", "eu,partners"]);
    // A consumer of another issuer, and its name.
    for azp in ["other", "acme", ""] {
        let answer = gateway.bring(&token(azp));
        assert_eq!(
            (answer.status, &*reason(&answer)),
            (403, "unknown_consumer"),
            "{azp}"
        );
    }
    let log = gateway.access_log(4);
    assert_eq!(
        (&log[0]["identity"], &log[0]["consumer"]),
        (&"ann".into(), &"acme".into())
    );
    assert_eq!(gateway.why(4), "`azp` says no consumer that is known");

    let allowing = by(&issuer, ", consumer: azp, unknown_consumer: allow");
    let upstream = crate::harness::upstream(&origin);
    gateway.reload(&format!("{upstream}{consumers}{}", routes(&allowing)));
    // Whoever is none has the name of none, not even where the issuer calls him as one is called.
    for sub in ["ann", "acme"] {
        let claims = json!({ "azp": "other", "sub": sub });
        let answer = gateway.bring(&key.token(&issuer.url, &claims));
        assert_eq!(saw(&answer, "x-user"), sub);
        let told = ["x-consumer", "x-plan"].map(|field| saw(&answer, field));
        assert!(
            told.iter().all(|told| *told == "" || told.is_null()),
            "{told:?}"
        );
    }
    assert_eq!(
        saw(&gateway.bring(&token("acme-client")), "x-consumer"),
        "acme"
    );
}

#[test]
fn an_issuer_of_no_consumer_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.yaml");
    let text = "\
consumers: { shop: { credentials: { jwt: { issuer: \"https://id.example.com/\", subject: s } } } }
routes:
  - name: all
    filters: [jwt: { issuer: \"https://id.example.com\", consumer: azp }, respond: ok]
";
    std::fs::write(&file, complete(folder.path(), text, "{}")).unwrap();
    let output = wiregate(&["check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let why = "expected consumers with a `jwt` of the issuer `https://id.example.com`, found none: \
               did you mean `https://id.example.com/`?";
    assert!(!output.status.success() && said.contains(why), "{said}");
}

#[test]
fn a_stranger_uses_up_no_limit_of_a_consumer_with_his_name() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    let url = &issuer.url;
    let (gateway, _origin) = forwarding(&format!(
        r#"consumers:
  acme: {{ credentials: {{ jwt: {{ issuer: "{url}", subject: acme-client }} }} }}
routes:
  - name: all
    filters:
      - jwt: {{ issuer: "{url}", audience: orders, consumer: azp, unknown_consumer: allow }}
      - rate_limit: {{ limit: 1/h, by: consumer }}
    upstream: app
"#
    ));
    let ask = |claims| gateway.bring(&key.token(url, &claims)).status;
    // Strangers share one limit, whatever they are called.
    assert_eq!(ask(json!({ "sub": "acme", "azp": "x" })), 200);
    assert_eq!(ask(json!({ "sub": "acme", "azp": "acme" })), 429);
    assert_eq!(ask(json!({ "sub": "ann", "azp": "y" })), 429);
    assert_eq!(ask(json!({ "sub": "ann", "azp": "acme-client" })), 200);
    assert_eq!(ask(json!({ "sub": "acme", "azp": "acme-client" })), 429);
}

#[test]
fn a_limit_goes_by_the_consumer() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    let url = &issuer.url;
    let (gateway, _origin) = forwarding(&format!(
        r#"consumers:
  a: {{ credentials: {{ jwt: {{ issuer: "{url}", subject: a }} }} }}
  b: {{ credentials: {{ jwt: {{ issuer: "{url}", subject: b }}, api_key: {{ key: "${{env:KEY_OF_ANN}}" }} }} }}
routes:
  - name: all
    filters:
      - jwt: {{ issuer: "{url}", audience: orders, consumer: azp }}
      - rate_limit: {{ limit: 2/h, by: consumer }}
    upstream: app
"#
    ));
    let ask = |user: &str, azp: &str| {
        let token = key.token(url, &json!({ "sub": user, "azp": azp }));
        gateway.bring(&token).status
    };
    assert_eq!(
        [ask("ann", "a"), ask("bob", "a"), ask("cat", "a")],
        [200, 200, 429]
    );
    assert_eq!(
        [ask("ann", "b"), ask("ann", "b"), ask("ann", "b")],
        [200, 200, 429]
    );
}

#[test]
fn a_token_is_not_verified_again() {
    let (issuer, key) = (Issuer::start(), Key::of_size("k1", KeySize::Rsa4096));
    issuer.publish(&[&key]);
    let route = |name: &str, remember: u32| {
        format!(
            "  - {{ name: {name}, match: {{ path: /{name} }}, upstream: app, filters: [jwt: {{ issuer: \"{}\", audience: orders, remember: {remember} }}] }}\n",
            issuer.url
        )
    };
    let (gateway, _origin) = forwarding(&format!(
        "routes:\n{}{}",
        route("once", 10),
        route("always", 0)
    ));
    let large = json!({ "sub": "ann", "x": vec!["a"; 500] });
    let bearer = format!("authorization: Bearer {}", key.token(&issuer.url, &large));
    let spent = |route: &str| {
        gateway.metric(&format!(
            "wiregate_filter_seconds_total{{filter=\"jwt\",hook=\"request\",route=\"{route}\"}}"
        ))
    };
    let ask = |route: &str| {
        let answer = gateway.ask(&format!("/{route}"), &["-H", &bearer]);
        assert_eq!(answer.status, 200);
    };
    ask("once");
    ask("always");
    gateway.counts("runs", "once", "jwt", 1.0);
    gateway.counts("runs", "always", "jwt", 1.0);
    let before = (spent("once"), spent("always"));
    for _ in 0..10 {
        for route in ["once", "always"] {
            ask_often(&gateway, &format!("/{route}"), &format!("{bearer}\r\n"));
        }
    }
    gateway.counts("runs", "once", "jwt", 641.0);
    gateway.counts("runs", "always", "jwt", 641.0);
    let (once, always) = (spent("once") - before.0, spent("always") - before.1);
    assert!(once * 3.0 < always, "{once} s and {always} s");
}

#[test]
fn a_file_of_keys_that_changes_is_read_again() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let write = |key: &Key| {
        let new = folder.path().join("new");
        std::fs::write(&new, crate::issuer::set(&[key]).to_string()).unwrap();
        std::fs::rename(new, &path).unwrap();
    };
    write(&old);
    let (gateway, _origin) = guarding(&format!(
        "{{ issuer: ours, audience: orders, keys: {{ file: \"{}\" }} }}",
        path.display()
    ));
    let status = |key: &Key| gateway.bring(&key.token("ours", &json!({}))).status;
    assert_eq!([status(&old), status(&new)], [200, 401]);
    write(&new);
    until("the new keys are in force", || status(&new) == 200);
    assert_eq!(status(&old), 401);
}

#[test]
fn a_token_comes_over_http2_and_in_other_places_as_well() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    let (gateway, _origin) = guarding(&by(
        &issuer,
        ", from: [{ bearer: true }, { query: access_token }]",
    ));
    let token = key.token(&issuer.url, &json!({}));
    let bearer = format!("authorization: Bearer {token}");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = gateway.ask("/", &[version, "-H", &bearer]);
        assert_eq!(saw(&answer, "x-user"), "ann", "{version}");
        let answer = gateway.ask(&format!("/?access_token={token}&a=b"), &[version]);
        assert_eq!(saw(&answer, "x-user"), "ann", "{version}");
        assert_eq!(answer.json()["query"], "a=b");
        // A key of another filter is no token.
        let answer = gateway.ask(
            "/",
            &[
                version,
                "-H",
                &format!("authorization: Bearer {KEY_OF_ANN}"),
            ],
        );
        assert_eq!(answer.status, 401);
    }
    let text = std::fs::read_to_string(gateway.file("access.log")).unwrap();
    assert!(!text.contains("eyJ"), "{text}");
}
