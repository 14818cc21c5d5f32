//! What kind of value a target wants, and what is said of another one.

use super::*;

#[test]
fn enums_are_names_or_maps_of_one_name() {
    assert_eq!(ok::<By>("address"), By::Address);
    assert_eq!(ok::<By>("address: {}"), By::Address);
    assert_eq!(ok::<By>("header: x-key"), By::Header("x-key".into()));
    assert_eq!(ok::<By>("hash: { seed: 5 }"), By::Hash { seed: 5 });
    assert_eq!(ok::<By>("cors"), By::Cors(Cors::default()));
    assert_eq!(ok::<By>("cors:"), By::Cors(Cors::default()));
}

#[test]
fn wrong_names_of_enums_are_told() {
    for (text, expected) in [
        (
            "adress",
            "1:1 unknown value `adress`, expected one of `address`, `header`, `hash`, `cors` \
             (did you mean `address`?)",
        ),
        (
            "haeder: x",
            "1:1 unknown value `haeder`, expected one of `address`, `header`, `hash`, `cors` \
             (did you mean `header`?)",
        ),
        (
            "hash:\nseed: 5\n",
            "1:1 expected one key, found 2: `hash`, `seed` \
             (indent `seed` further if it belongs to `hash`)",
        ),
        ("hash", "1:1 missing `seed` (write `{ hash: { seed: … } }`)"),
        (
            "header",
            "1:1 expected text, found `header` alone (write `{ header: … }`)",
        ),
        (
            "header://a.test",
            "1:1 unknown value `header://a.test`, expected one of `address`, `header`, `hash`, `cors` \
             (write `{ header: \"header://a.test\" }`)",
        ),
        (
            "address: 5",
            "1:10 expected a name without options, found `5`",
        ),
        (
            "[a]",
            "1:1 expected one of `address`, `header`, `hash`, `cors`, found a list",
        ),
        (
            "{}",
            "1:1 expected one of `address`, `header`, `hash`, `cors`, found an empty map",
        ),
    ] {
        assert_eq!(problems::<By>(text), [expected], "{text}");
    }
}

#[test]
fn wrong_kinds_are_told_in_plain_words() {
    assert_eq!(
        problems::<Vec<u8>>("a: 1"),
        ["1:1 expected a list, found a map"]
    );
    assert_eq!(
        problems::<Cors>("[1]"),
        ["1:1 expected a map, found a list"]
    );
    assert_eq!(
        problems::<String>("[1]"),
        ["1:1 expected text, found a list"]
    );
    assert_eq!(problems::<String>(""), ["1:1 expected text, found nothing"]);
    assert_eq!(
        problems::<u64>("-1"),
        ["1:1 expected a whole number from 0 up, found `-1`"]
    );
    assert_eq!(
        problems::<u8>("1.5"),
        ["1:1 expected a whole number from 0 to 255, found `1.5`"]
    );
    assert_eq!(problems::<f64>("x"), ["1:1 expected a number, found `x`"]);
    assert_eq!(
        problems::<char>("xy"),
        ["1:1 expected one character, found `xy`"]
    );
    assert_eq!(
        problems::<(u8, u8)>("[1]"),
        ["1:1 expected a list of 2 values, found 1"]
    );
    assert_eq!(
        problems::<[u8; 2]>("[1]"),
        ["1:1 expected a list of 2 values, found 1"]
    );
    assert_eq!(
        problems::<(u8, u8)>("[x, 1]"),
        ["1:2 expected a whole number from 0 to 255, found `x`"]
    );
    assert_eq!(
        problems::<IpAddr>("10.0.0"),
        ["1:1 expected an IP address such as `10.0.0.1`, found `10.0.0`"]
    );
    assert_eq!(
        problems::<BTreeMap<u16, u8>>("{404: 1, x: 2}"),
        ["1:10 expected a whole number from 0 to 65535, found `x`"]
    );
    let long = problems::<u8>(&"x".repeat(80));
    assert!(
        long[0].ends_with(&format!("found `{}…`", "x".repeat(60))),
        "{long:?}"
    );
}
