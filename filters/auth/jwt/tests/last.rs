//! What goes over to the next process of the last good keys, and what does not come in.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wiregate_sdk::Clock;
use wiregate_sdk::build::{Fetches, Portable};

use super::super::fetch::{self, Fetched, MOST_BYTES};
use super::super::last::{Last, Source};
use super::signer::{Signer, b64};

const ROOM: usize = 1 << 20;

fn of(source: Source, clock: &Clock) -> Last {
    let shown = Arc::new(Fetches::new("jwt", "there"));
    Last::new(source, clock.clone(), shown)
}

fn there() -> Source {
    Source::new("jwks", "https://id.example.com/keys", "None")
}

fn last(clock: &Clock) -> Last {
    of(there(), clock)
}

fn store(last: &Last, keys: &[Value]) {
    let set = fetch::set(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
    let max_age = Some(Duration::from_secs(300));
    last.store(Fetched { set, max_age });
}

fn jwk() -> Value {
    Signer::curve("ES256").jwk
}

fn count(last: &Last) -> Option<usize> {
    last.keys().map(|keys| keys.len())
}

#[test]
fn keys_go_over_with_their_time_and_what_is_fresher_stays() {
    let clock = Clock::manual();
    let (former, next) = (last(&clock), last(&clock));
    next.take_in(&former.pack(ROOM));
    assert_eq!(count(&next), None, "nothing was fetched");
    let (one, other) = (jwk(), jwk());
    store(&former, std::slice::from_ref(&one));
    let fetched = former.fetched();
    clock.advance(Duration::from_secs(60));
    let packed = former.pack(ROOM);
    next.take_in(&packed);
    assert_eq!((count(&next), next.fetched()), (Some(1), fetched));
    assert_eq!(
        next.shown.last_success(),
        Some(in_millis(clock.now().wall - Duration::from_secs(60)))
    );
    // The same again, and more that the former one has fetched meanwhile.
    let generation = next.generation();
    next.take_in(&packed);
    assert_eq!(next.generation(), generation);
    store(&former, &[one.clone(), other]);
    next.take_in(&former.pack(ROOM));
    assert_eq!((count(&next), next.generation()), (Some(2), generation + 1));
    // But nothing that is older than what is there.
    clock.advance(Duration::from_secs(1));
    store(&next, &[one]);
    next.take_in(&former.pack(ROOM));
    assert_eq!(count(&next), Some(1));
}

fn in_millis(at: std::time::SystemTime) -> std::time::SystemTime {
    let since = at.duration_since(std::time::UNIX_EPOCH).unwrap();
    std::time::UNIX_EPOCH + Duration::from_millis(since.as_millis().try_into().unwrap())
}

#[test]
fn what_cannot_be_read_or_be_right_is_left_out() {
    let clock = Clock::manual();
    let former = last(&clock);
    store(&former, &[jwk()]);
    let packed = former.pack(ROOM);
    let text = String::from_utf8(packed.clone()).unwrap();
    let with = |name: &str, value: Value| {
        let mut all: Value = serde_json::from_str(&text).unwrap();
        all[name] = value;
        all.to_string().into_bytes()
    };
    let set = |keys: Value| with("set", json!({ "keys": keys }).to_string().into());
    let later = u64::try_from(clock.monotonic().as_nanos()).unwrap() + 1;
    let twice = format!("{{\"keys\":[],\"keys\":[{}]}}", jwk());
    let wide = format!("{{\"keys\":[{}]{}}}", jwk(), " ".repeat(MOST_BYTES));
    for (what, wrong) in [
        ("cut off", packed[..packed.len() - 1].to_vec()),
        ("no JSON", vec![0; 200]),
        ("another version", with("version", 2.into())),
        ("no version", text.replace("\"version\":1,", "").into()),
        ("of a time to come", with("at", later.into())),
        ("of no time", with("at", Value::Null)),
        (
            "from elsewhere",
            text.replace("id.example", "eve.example").into(),
        ),
        ("over another trust", text.replace("None", "Some").into()),
        ("of another kind", text.replace("jwks", "issuer").into()),
        ("no keys", set(json!([]))),
        (
            "a secret",
            set(json!([{ "kty": "oct", "k": b64([7; 32]) }])),
        ),
        ("too many", set(vec![jwk(); 101].into())),
        ("a member twice", with("set", twice.into())),
        ("too large a set", with("set", wide.into())),
        (
            "too large",
            text.replace('{', &("{".to_owned() + &" ".repeat(ROOM)))
                .into(),
        ),
    ] {
        let next = last(&clock);
        next.take_in(&wrong);
        assert_eq!(count(&next), None, "{what}");
        assert!(!next.shown.is_there(), "{what}");
        next.take_in(&packed);
        assert_eq!(count(&next), Some(1), "{what}");
        next.take_in(&wrong);
        assert_eq!(count(&next), Some(1), "{what}");
    }
}

#[test]
fn no_secret_goes_over_and_nothing_that_is_too_large() {
    let clock = Clock::manual();
    let former = last(&clock);
    let mut private = jwk();
    private["d"] = b64([9; 32]).into();
    store(
        &former,
        &[jwk(), private, json!({ "kty": "oct", "k": b64([7; 32]) })],
    );
    let packed = String::from_utf8(former.pack(ROOM)).unwrap();
    assert!(!packed.contains(&b64([9; 32])) && !packed.contains(&b64([7; 32])));
    let next = last(&clock);
    next.take_in(packed.as_bytes());
    assert_eq!(count(&next), Some(1));
    assert_eq!(former.pack(packed.len()).len(), packed.len());
    assert_eq!(former.pack(packed.len() - 1), b"");
    // As large as what is fetched may be.
    let mut padded = jwk();
    padded["x-note"] = "\n\"".repeat(MOST_BYTES / 5).into();
    store(&former, &[padded]);
    let next = last(&clock);
    next.take_in(&former.pack(ROOM));
    assert_eq!(count(&next), Some(1));
}
