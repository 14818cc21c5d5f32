//! Limits behind a filter that knows who calls.

use super::*;

/// A gateway with two routes that have this limit by name.
fn limiting(issuer: &Issuer, limit: &str) -> (Gateway, Echo) {
    let route = |name: &str| {
        format!(
            "  - {{ name: {name}, match: {{ path: /{name} }}, filters: [caller, limit], upstream: app }}\n"
        )
    };
    let filters = format!(
        "filters:\n  caller: {{ jwt: {} }}\n  limit: {{ rate_limit: {limit} }}\n",
        by(issuer, "")
    );
    forwarding(&format!("{filters}routes:\n{}{}", route("a"), route("b")))
}

#[test]
fn a_limit_goes_by_a_claim() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    let limit = "{ limit: 2/365d, by: identity.claims.tenant }";
    let (gateway, _origin) = limiting(&issuer, limit);
    let status = |user: &str, tenant: &str| {
        let claims = json!({ "sub": user, "tenant": tenant });
        let bearer = format!("authorization: Bearer {}", key.token(&issuer.url, &claims));
        gateway.ask("/a", &["-H", &bearer]).status
    };
    // However many there are of one tenant.
    let one = ["ann", "bob", "cat"].map(|user| status(user, "one"));
    assert_eq!(one, [200, 200, 429]);
    // And although it is the same caller.
    let other = ["ann", "ann", "ann"].map(|user| status(user, "other"));
    assert_eq!(other, [200, 200, 429]);
}

#[test]
fn a_limit_goes_by_the_route() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    let (gateway, _origin) = limiting(&issuer, "{ limit: 2/365d, by: route }");
    let status = |path: &str, user: &str| {
        let token = key.token(&issuer.url, &json!({ "sub": user }));
        let bearer = format!("authorization: Bearer {token}");
        gateway.ask(path, &["-H", &bearer]).status
    };
    for path in ["/a", "/b"] {
        let all = ["ann", "bob", "cat"].map(|user| status(path, user));
        assert_eq!(all, [200, 200, 429], "{path}");
    }
}
