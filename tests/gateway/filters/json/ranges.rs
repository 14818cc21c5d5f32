//! Parts of bodies, where filters change what nginx has.

use super::*;
use crate::nginx::origin::Nginx;

const BODY: &str = "{\"secret\":1,\"a\":2}";

#[test]
fn no_part_gets_around_a_filter_and_parts_of_what_none_changes_are_had() {
    let nginx = Nginx::start("types { application/json json; text/plain txt; }");
    nginx.put("a.json", BODY);
    let made = |filter: &str| before(nginx.address(), filter);
    let json = made("json: { response: { remove: secret } }");
    let only_good = made("json: { response: { when: response.status == 200, remove: secret } }");
    let template = made("template: { response: { json: '{\"a\":{{ body.a }}}' } }");
    let missing =
        made("template: { response: { when: response.status == 404, text: 'not here' } }");
    for version in VERSIONS {
        for range in ["0-", "0-9", "2-7", "-3", "0-0,2-9", "99-"] {
            for gateway in [&json, &only_good, &template] {
                let answer = gateway.ask("/a.json", &[version, "-r", range]);
                let found = (answer.status, &*answer.text());
                assert_eq!(found, (200, "{\"a\":2}"), "{version} {range}");
                assert_eq!(answer.header("content-range"), "");
            }
        }
        let part = missing.ask("/a.json", &[version, "-r", "2-7"]);
        assert_eq!((part.status, &*part.text()), (206, "secret"));
        let other = missing.ask("/b.json", &[version, "-r", "2-7"]);
        assert_eq!((other.status, &*other.text()), (404, "not here"));
    }
}
