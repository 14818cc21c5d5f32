mod stream;

use std::io::Read;

use wiregate_sdk::Bytes;
use wiregate_sdk::testing::{Call, Probe, Seen, probe, refusal};

use super::*;
use Coding::{Br, Gzip, Zstd};

const ALL: [Coding; 3] = [Zstd, Br, Gzip];

fn decoded(coding: Coding, coded: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        Zstd => zstd::Decoder::new(coded).unwrap().read_to_end(&mut plain),
        Br => brotli::Decompressor::new(coded, 4096).read_to_end(&mut plain),
        Gzip => flate2::read::GzDecoder::new(coded).read_to_end(&mut plain),
    }
    .unwrap();
    plain
}

fn text(length: usize) -> Bytes {
    let line = b"{\"name\": \"a line of text that repeats\", \"value\": 12345},\n";
    line.iter().copied().cycle().take(length).collect()
}

fn page(filter: &Probe) -> Call {
    filter
        .get("/")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .answer_header("content-type", "text/html; charset=utf-8")
        .answer_body([text(5000), text(3000)])
}

fn is_coded(seen: &Seen) -> bool {
    let coded = seen.header("content-encoding").is_some();
    assert_eq!(coded, seen.header("content-length").is_none());
    coded
}

#[tokio::test]
async fn compresses_with_what_the_client_likes_best() {
    let filter = probe::<Compress>("");
    let plain = [text(5000), text(3000)].concat();
    for (accepted, coding) in [
        ("gzip, deflate, br, zstd", Zstd),
        ("gzip, deflate, br", Br),
        ("gzip", Gzip),
        ("gzip, br;q=0.9", Gzip),
    ] {
        let call = filter.get("/").header("accept-encoding", accepted);
        let call = call.answer_header("content-type", "text/css");
        let seen = call.answer_body([text(5000), text(3000)]).send().await;
        assert_eq!(seen.header("content-encoding"), Some(coding.name()));
        assert_eq!(seen.header("vary"), Some("accept-encoding"));
        assert_eq!(seen.header("content-length"), None);
        assert!(
            seen.response_body.len() < 400,
            "{}",
            seen.response_body.len()
        );
        assert_eq!(decoded(coding, &seen.response_body), plain);
    }
}

#[tokio::test]
async fn the_order_decides_between_equals() {
    let filter = probe::<Compress>("codings: [gzip, br]");
    assert_eq!(
        page(&filter).send().await.header("content-encoding"),
        Some("gzip")
    );
    let filter = probe::<Compress>("codings: br");
    assert_eq!(
        page(&filter).send().await.header("content-encoding"),
        Some("br")
    );
}

#[tokio::test]
async fn who_takes_no_coding_gets_the_body_as_it_is() {
    let filter = probe::<Compress>("");
    for accepted in ["identity", "gzip;q=0", "deflate", "identity;q=0"] {
        let call = filter.get("/").header("accept-encoding", accepted);
        let call = call
            .answer_header("content-type", "text/html")
            .answer_header("etag", "\"a\"");
        let seen = call.answer_body([text(5000)]).send().await;
        assert!(!is_coded(&seen));
        assert_eq!(seen.response_body, text(5000));
        assert_eq!(seen.header("etag"), Some("\"a\""));
        assert_eq!(seen.header("vary"), Some("accept-encoding"));
    }
}

#[tokio::test]
async fn only_compresses_what_is_meant() {
    let usual = probe::<Compress>("");
    let own = probe::<Compress>("types: [text/csv, 'application/*+zip']");
    for (content_type, usually, by_own) in [
        ("text/html; charset=utf-8", true, false),
        ("TEXT/CSV", true, true),
        ("application/json", true, false),
        ("application/problem+json", true, false),
        ("application/manifest+json", true, false),
        ("image/svg+xml", true, false),
        ("application/wasm", true, false),
        ("text/event-stream", true, false),
        ("application/epub+zip", false, true),
        ("image/png", false, false),
        ("video/mp4", false, false),
        ("application/octet-stream", false, false),
        ("application/grpc", false, false),
        ("application/grpc+json", false, false),
        ("application/grpc-web+json", false, false),
        ("nonsense", false, false),
    ] {
        for (filter, expected) in [(&usual, usually), (&own, by_own)] {
            let call = filter.get("/").header("accept-encoding", "gzip");
            let call = call.answer_header("content-type", content_type);
            let seen = call.answer_body([text(5000)]).send().await;
            assert_eq!(is_coded(&seen), expected, "{content_type}");
            assert_eq!(seen.header("vary").is_some(), expected, "{content_type}");
        }
    }
    let call = usual.get("/").header("accept-encoding", "gzip");
    assert!(
        !is_coded(&call.answer_body([text(5000)]).send().await),
        "no type"
    );
}

#[tokio::test]
async fn small_bodies_pass() {
    let filter = probe::<Compress>("min_size: 100");
    for (length, expected) in [(0, false), (99, false), (100, true)] {
        let call = filter.get("/").header("accept-encoding", "gzip");
        let call = call.answer_header("content-type", "text/html");
        let seen = call.answer_body([text(length)]).send().await;
        assert_eq!(is_coded(&seen), expected, "{length}");
        assert_eq!(seen.header("vary").is_some(), expected, "{length}");
    }
    let none = probe::<Compress>("min_size: 0");
    let call = none.get("/").header("accept-encoding", "gzip");
    let call = call
        .answer_header("content-type", "text/html")
        .answer_body([Bytes::new()]);
    assert!(!is_coded(&call.send().await));
}

#[tokio::test]
async fn a_body_of_unknown_length_is_compressed_even_if_it_turns_out_empty() {
    let filter = probe::<Compress>("");
    for coding in ALL {
        let call = filter.get("/").header("accept-encoding", coding.name());
        let seen = call.answer_header("content-type", "text/html").send().await;
        assert_eq!(seen.header("content-encoding"), Some(coding.name()));
        assert!(!seen.response_body.is_empty());
        assert_eq!(decoded(coding, &seen.response_body), b"");
    }
}

#[tokio::test]
async fn leaves_alone_what_must_not_be_touched() {
    let filter = probe::<Compress>("");
    for (name, value) in [
        ("content-encoding", "br"),
        ("content-range", "bytes 0-7999/8000"),
        ("cache-control", "public, No-Transform"),
    ] {
        let seen = page(&filter).answer_header(name, value).send().await;
        assert_eq!(seen.response_body.len(), 8000, "{name}");
        assert_eq!(seen.header("vary"), None, "{name}");
    }
    for status in [204, 205, 206] {
        let seen = page(&filter).answer(status).send().await;
        assert_eq!(seen.header("content-encoding"), None, "{status}");
    }
    let upgrade = filter
        .get("/")
        .header("accept-encoding", "gzip")
        .answer(101);
    let seen = upgrade
        .answer_header("content-type", "text/html")
        .send()
        .await;
    assert_eq!(seen.header("content-encoding"), None);
    let seen = page(&filter)
        .header("cache-control", "no-transform")
        .send()
        .await;
    assert!(!is_coded(&seen));
    assert_eq!(seen.header("vary"), Some("accept-encoding"));
}

#[tokio::test]
async fn errors_are_compressed_too() {
    let filter = probe::<Compress>("");
    assert!(is_coded(&page(&filter).answer(500).send().await));
}

#[tokio::test]
async fn a_response_to_head_says_what_one_to_get_would() {
    let filter = probe::<Compress>("");
    let call = filter
        .request("HEAD", "/")
        .header("accept-encoding", "gzip");
    let call = call
        .answer_header("content-type", "text/html")
        .answer_header("etag", "\"a\"");
    let seen = call.answer_header("content-length", "5000").send().await;
    assert!(is_coded(&seen));
    assert_eq!(seen.header("etag"), Some("W/\"a\""));
    assert_eq!(seen.response_body, "");
}

#[tokio::test]
async fn what_described_the_bytes_no_longer_does() {
    let filter = probe::<Compress>("");
    let call = page(&filter)
        .answer_header("etag", "\"v1\"")
        .answer_header("content-digest", "sha-256=:AA==:")
        .answer_header("repr-digest", "sha-256=:AA==:")
        .answer_header("digest", "sha-256=AA")
        .answer_header("content-md5", "AA")
        .answer_header("vary", "Cookie, Accept-Encoding");
    let seen = call.send().await;
    assert_eq!(seen.header("etag"), Some("W/\"v1\""));
    assert_eq!(seen.header("vary"), Some("Cookie, Accept-Encoding"));
    for name in &DIGESTS {
        assert_eq!(seen.header(name.as_str()), None);
    }
    let seen = page(&filter).answer_header("etag", "W/\"v1\"").send().await;
    assert_eq!(seen.header("etag"), Some("W/\"v1\""));
}

#[tokio::test]
async fn a_confirmed_body_keeps_the_tag_it_was_sent_with() {
    let filter = probe::<Compress>("");
    let ask = |tag: &str| {
        let call = filter.get("/").header("if-none-match", tag).answer(304);
        call.header("accept-encoding", "gzip")
            .answer_header("etag", "\"v1\"")
    };
    let seen = ask("W/\"v0\", W/\"v1\"").send().await;
    assert_eq!(seen.header("etag"), Some("W/\"v1\""));
    assert_eq!(seen.header("vary"), Some("accept-encoding"));
    for tag in ["\"v1\"", "*", "W/\"v10\""] {
        let seen = ask(tag).send().await;
        assert_eq!(seen.header("etag"), Some("\"v1\""), "{tag}");
    }
}

#[tokio::test]
async fn a_confirmed_body_varies_as_it_did() {
    let filter = probe::<Compress>("");
    let ask = || {
        let call = filter.get("/").answer(304).answer_header("vary", "Accept");
        call.answer_header("etag", "W/\"a\"")
    };
    let seen = ask().send().await;
    assert_eq!(seen.header("vary"), Some("Accept, accept-encoding"));
    let seen = ask()
        .answer_header("content-type", "image/png")
        .send()
        .await;
    assert_eq!(seen.header("vary"), Some("Accept"));
    let call = ask().answer_header("cache-control", "no-transform");
    assert_eq!(call.send().await.header("vary"), Some("Accept"));
}

#[tokio::test]
async fn higher_levels_try_harder() {
    // Not what a level promises for each body, but what all of them do for this one.
    let words = [
        "gate", "route", "filter", "chain", "upstream", "reply", "snapshot",
    ];
    let mut seed = 1_u32;
    let body: String = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        format!("{} {} ", words[seed as usize % 7], seed >> 24)
    })
    .take(5000)
    .collect();
    for (name, low, high) in [("zstd", 1, 12), ("br", 0, 6), ("gzip", 1, 9)] {
        let mut sizes = Vec::new();
        for level in [low, high] {
            let options = format!("{{ codings: {name}, level: {{ {name}: {level} }} }}");
            let filter = probe::<Compress>(&options);
            let call = filter.get("/").header("accept-encoding", name);
            let call = call.answer_header("content-type", "text/plain");
            let seen = call.answer_body([Bytes::from(body.clone())]).send().await;
            sizes.push(seen.response_body.len());
        }
        assert!(sizes[1] < sizes[0], "{name}: {sizes:?}");
    }
}

#[test]
fn says_what_it_expects() {
    assert_eq!(
        refusal::<Compress>("codings: [gzip, br, gzip]"),
        "1:21: expected each coding once, found `gzip` again"
    );
    assert_eq!(
        refusal::<Compress>("level: { gzip: 0 }"),
        "1:16: expected a level from 1 to 9, found `0`"
    );
    assert_eq!(
        refusal::<Compress>("level: { zstd: 13, br: 7 }")
            .lines()
            .count(),
        2
    );
    assert_eq!(
        refusal::<Compress>("{ codings: [br], level: { gzip: 5 } }"),
        "1:33: expected levels of the `codings` only, found `gzip`"
    );
    assert!(refusal::<Compress>("codings: deflate").contains("deflate"));
    assert!(refusal::<Compress>("codings: []").contains("at least one"));
    assert!(refusal::<Compress>("types: text").contains("expected media types such as"));
    assert!(refusal::<Compress>("min_size: 1kb").contains("expected a size"));
    assert!(refusal::<Compress>("sizes: 1").contains("sizes"));
}

#[test]
fn memory_for_one_response_there_must_be() {
    let said = refusal::<Compress>("memory: 1MiB");
    assert!(
        said.contains("expected at least 4MiB, found 1MiB"),
        "{said}"
    );
}
