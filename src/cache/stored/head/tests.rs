//! Heads as they are stored and sent.

use super::*;

fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

#[test]
fn what_is_sent_is_all_but_lengths_and_what_is_replaced_or_left_out() {
    let map = map(&[
        ("server", "s"),
        ("content-length", "5"),
        ("x-own", "a"),
        ("x-own", "b"),
    ]);
    let own = HeaderName::from_static("x-own");
    let sent = |map: &HeaderMap, other: Option<&HeaderName>| {
        let mut text = b"! ".to_vec();
        let head = Head::new(StatusCode::OK, &map.iter().collect::<Vec<_>>());
        head.put_without(other, &mut text);
        String::from_utf8(text).unwrap()
    };
    let (all, one) = ("! Server: s\r\nx-own: a\r\nx-own: b\r\n", "! Server: s\r\n");
    assert_eq!(sent(&map, None), all);
    assert_eq!(sent(&map, Some(&header::VIA)), all);
    assert_eq!(sent(&map, Some(&own)), one);
    for replaced in &names::REPLACED {
        let mut map = map.clone();
        map.insert(replaced, HeaderValue::from_static("1"));
        assert_eq!(sent(&map, None), all);
        assert_eq!(sent(&map, Some(&own)), one);
    }
}

#[test]
fn what_goes_in_comes_out() {
    let mut map = map(&[
        ("date", "today"),
        ("x-own", "a"),
        ("set-cookie", "a=1"),
        ("x-own", ""),
        ("set-cookie", "b=2"),
        ("proxy-status", "\u{fc}"),
    ]);
    map.get_mut("date").unwrap().set_sensitive(true);
    let head = Head::new(StatusCode::NOT_FOUND, &map.iter().collect::<Vec<_>>());
    let (parts, again) = (head.parts(9), head.response());
    assert_eq!((parts.status, again.status.as_u16()), (head.status, 404));
    assert_eq!((&parts.headers, &again.headers), (&map, &map));
    let is_sensitive = |name| parts.headers[name].is_sensitive();
    assert!(is_sensitive("date") && !is_sensitive("x-own"));
    let own = HeaderName::from_static("x-own");
    assert_eq!(head.get(&own), Some(&b"a"[..]));
    assert_eq!(head.get(&http::header::ETAG), None);
    assert_eq!(Head::from(&again), head);
}

#[test]
fn its_lines_are_what_pingora_sends_but_for_the_length() {
    let mut map = HeaderMap::new();
    let own = HeaderName::from_static("x-own");
    for name in names::all().cloned().chain([own]) {
        map.append(&name, HeaderValue::from_static("a: b"));
        map.append(name, HeaderValue::from_static(""));
    }
    let head = Head::new(StatusCode::OK, &map.iter().collect::<Vec<_>>());
    let (mut sent, mut response) = (Vec::new(), head.response());
    assert_eq!(response.headers, map);
    assert_eq!(head.get(&header::CONTENT_LENGTH), Some(&b"a: b"[..]));
    response.remove_header(&header::CONTENT_LENGTH);
    response.header_to_h1_wire(&mut sent);
    assert_eq!(
        String::from_utf8_lossy(head.wire()),
        String::from_utf8_lossy(&sent)
    );
    let none = Head::new(StatusCode::OK, &[]);
    assert!(none.wire().is_empty() && none.behind().is_empty());
}

#[test]
fn what_is_behind_it_is_no_part_of_it_and_takes_no_allocation_where_there_is_room() {
    let value = HeaderValue::from_static("a");
    let fields = [(&header::ETAG, &value)];
    let mut head = {
        let mut draft = Draft::default();
        draft.add(fields[0].0, fields[0].1);
        draft.head(StatusCode::OK, 4, Vec::new())
    };
    let (place, taken) = (head.text.as_ptr(), head.allocated());
    head.put_behind([b"name"]);
    assert_eq!((head.text.as_ptr(), head.allocated()), (place, taken));
    assert_eq!(head.text.len(), head.text.capacity());
    let mut other = Head::new(StatusCode::OK, &fields);
    assert!(other == head && other.behind().is_empty());
    other.clone_from(&head);
    assert_eq!(other.behind(), b"name");
    other.put_behind([b"another one"]);
    assert!(other == head && other.behind() == b"another one");
    assert!(other.allocated() >= other.text.len() && other.wire() == b"etag: a\r\n");
}

#[test]
fn a_head_is_made_in_spare_memory_that_is_about_as_large_as_it_has_to_be() {
    let value = HeaderValue::from_static("a");
    let mut draft = Draft::default();
    draft.add(&header::ETAG, &value);
    let bytes = draft.bytes() + 100;
    let made = |capacity: usize| {
        let mut spare = Vec::with_capacity(capacity);
        spare.resize(capacity, b'x');
        let place = spare.as_ptr();
        let mut head = draft.head(StatusCode::OK, 100, spare);
        let in_place = head.text.as_ptr() == place;
        assert!(head == Head::new(StatusCode::OK, &[(&header::ETAG, &value)]));
        assert!(head.behind().is_empty() && head.wire() == b"etag: a\r\n");
        head.put_behind([&[b'y'; 100]]);
        let capacity = head.text.capacity();
        assert!(
            (bytes..=bytes + bytes / WASTE).contains(&capacity),
            "{capacity}"
        );
        in_place
    };
    assert!(made(bytes) && made(bytes + bytes / WASTE));
    assert!(!made(bytes - 1) && !made(bytes + bytes / WASTE + 1) && !made(0));
}

#[test]
fn a_head_may_have_as_many_fields_as_a_map() {
    let mut map = HeaderMap::new();
    while map.len() < 24_000 {
        map.append(http::header::LINK, HeaderValue::from_static("a"));
    }
    let head = Head::new(StatusCode::OK, &map.iter().collect::<Vec<_>>());
    assert_eq!(head.parts(9_000).headers.len(), map.len());
}
