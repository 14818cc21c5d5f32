//! Bodies that come in pieces.

use std::io::Write;

use proptest::prelude::*;

use super::*;

/// What the coded bytes so far say.
fn decoded_so_far(coding: Coding, coded: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        Zstd => {
            let mut decoder = zstd::stream::write::Decoder::new(&mut plain).unwrap();
            decoder.write_all(coded).unwrap();
            decoder.flush().unwrap();
        }
        Br => {
            let mut decoder = brotli::DecompressorWriter::new(&mut plain, 4096);
            decoder.write_all(coded).unwrap();
            decoder.flush().unwrap();
        }
        Gzip => {
            let mut decoder = flate2::write::GzDecoder::new(&mut plain);
            decoder.write_all(coded).unwrap();
            decoder.flush().unwrap();
        }
    }
    plain
}

/// Sends a body through; what comes out for each piece.
fn pass(coding: Coding, left: Option<u64>, pieces: &[Vec<u8>], last_has_data: bool) -> Vec<Bytes> {
    let filter = Compress {
        codings: ALL.into(),
        levels: ALL.map(Coding::usual_level),
        types: Vec::new(),
        min_size: 0,
        room: Arc::default(),
        memory: MOST_TAKEN,
    };
    let mut state = State {
        coding: Some(coding),
        body: Body::Awaited { left },
        taken: None,
    };
    let mut out = Vec::new();
    let mut send = |data: &[u8], last| {
        let mut chunk = Chunk {
            data: Bytes::copy_from_slice(data),
            last,
        };
        filter.response_body(&mut chunk, &mut state).unwrap();
        out.push(chunk.data);
    };
    for (position, piece) in pieces.iter().enumerate() {
        send(piece, last_has_data && position + 1 == pieces.len());
    }
    if !last_has_data || pieces.is_empty() {
        send(b"", true);
    }
    out
}

#[test]
fn each_piece_of_a_stream_can_be_read_at_once() {
    let events: Vec<Vec<u8>> = (0..20)
        .map(|number| format!("data: event {number}\n\n").into_bytes())
        .collect();
    for coding in ALL {
        let out = pass(coding, None, &events, false);
        for count in 1..=events.len() {
            let so_far = decoded_so_far(coding, &out[..count].concat());
            assert_eq!(so_far, events[..count].concat(), "{coding:?}");
        }
    }
}

#[test]
fn an_empty_piece_sends_nothing() {
    for coding in ALL {
        let out = pass(
            coding,
            None,
            &[b"a".to_vec(), Vec::new(), Vec::new()],
            false,
        );
        assert!(!out[0].is_empty());
        assert!(out[1].is_empty() && out[2].is_empty());
    }
}

#[test]
fn the_end_needs_no_flush_where_it_is_known() {
    let body = [text(3000).to_vec()];
    for coding in ALL {
        let length = |left| pass(coding, left, &body, false).concat().len();
        assert!(length(Some(3000)) < length(None), "{coding:?}");
    }
}

fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let noise = prop::collection::vec(any::<u8>(), 0..3000);
    let text = prop::collection::vec(0..4_u8, 0..3000);
    prop::collection::vec(prop_oneof![noise, text, Just(Vec::new())], 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_comes_out_says_what_went_in(
        pieces in bodies(),
        last_has_data: bool,
        // A length may be wrong, where a filter further in has changed the body.
        left in prop::option::of(0..10_000_u64),
    ) {
        for coding in ALL {
            let out = pass(coding, left, &pieces, last_has_data);
            prop_assert_eq!(decoded(coding, &out.concat()), pieces.concat());
        }
    }
}
