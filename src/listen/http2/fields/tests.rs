//! Against the examples of RFC 7541.

use super::*;

/// The examples of RFC 7541, C.4: requests with Huffman's code.
const REQUESTS: [&[u8]; 3] = [
    b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
    b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf",
    b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\
      \x5b\xb8\xe8\xb4\xbf",
];

const PSEUDO: List = List {
    pseudo: true,
    fragment: false,
};

#[test]
fn keeps_the_table_of_the_rfcs_examples() {
    let mut table = Table::default();
    for (request, (entries, used)) in REQUESTS.iter().zip([(1, 57), (2, 110), (3, 164)]) {
        assert_eq!(table.read(request), Some(PSEUDO));
        assert_eq!((table.entries.len(), table.used), (entries, used));
    }
    let names: Vec<_> = (table.entries.iter())
        .map(|entry| (entry.name.pseudo, entry.name.length))
        .collect();
    assert_eq!(names, [(false, 10), (false, 13), (true, 10)]);
    assert_eq!(table.read(b"\x20"), Some(List::default()));
    assert_eq!((table.entries.len(), table.used), (0, 0));
}

#[test]
fn evicts_as_the_rfcs_examples_do() {
    // RFC 7541, C.6: responses, in a table of 256 bytes.
    let mut table = Table {
        most: 256,
        ..Table::default()
    };
    let first = b"\x48\x82\x64\x02\x58\x85\xae\xc3\x77\x1a\x4b\x61\x96\xd0\x7a\xbe\x94\x10\
        \x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff\x6e\x91\x9d\
        \x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3";
    assert_eq!(table.read(first), Some(PSEUDO));
    assert_eq!((table.entries.len(), table.used), (4, 222));
    assert_eq!(
        table.read(b"\x48\x83\x64\x0e\xff\xc1\xc0\xbf"),
        Some(PSEUDO)
    );
    assert_eq!((table.entries.len(), table.used), (4, 222));
}

#[test]
fn knows_a_pseudo_header_however_it_is_written() {
    let table = || {
        let mut table = Table::default();
        table.read(REQUESTS[0]);
        table
    };
    let pseudo: [&[u8]; 5] = [
        b"\x84",                          // of the static table
        b"\xbe",                          // of the dynamic table
        b"\x04\x01/",                     // its name of the static table
        b"\x00\x05:path\x01/",            // in full
        b"\x00\x84\xb9\x58\xd3\x3f\x01/", // in full, by Huffman's code
    ];
    for block in pseudo {
        assert_eq!(table().read(block), Some(PSEUDO), "{block:?}");
    }
    for block in [
        &b"\x00\x03x-a\x01:"[..],
        b"\x90",
        b"\x40\x03x-a\x011\xbe",
        b"",
    ] {
        assert_eq!(table().read(block), Some(List::default()), "{block:?}");
    }
    for broken in [
        &b"\x80"[..],
        b"\xff",
        b"\xff\x80\x80\x80\x80\x01",
        b"\x00\x09x",
        b"\xc5",
    ] {
        assert_eq!(table().read(broken), None, "{broken:?}");
    }
}

#[test]
fn sees_a_fragment_however_it_is_written() {
    let fragment = |block: &[u8]| {
        let mut table = Table::default();
        // In the dynamic table: `/#` for the path, and `#` for a field.
        table.read(b"\x44\x02/#").unwrap();
        table.read(b"\x40\x01a\x01#").unwrap();
        table.read(block).unwrap().fragment
    };
    let blocks: [&[u8]; 7] = [
        b"\x04\x04/a#b",
        b"\x05\x01#",
        b"\x14\x02/#",                     // never to be indexed
        b"\x00\x05:path\x02/#",            // its name in full
        b"\x00\x84\xb9\x58\xd3\x3f\x02/#", // the same by Huffman's code
        b"\x04\x83\x63\xfe\xbf", // its value by Huffman's code: 011000 111111111010 111111
        b"\xbf",                 // of the dynamic table
    ];
    for block in blocks {
        assert!(fragment(block), "{block:x?}");
    }
    let blocks: [&[u8]; 5] = [
        b"\x84",
        b"\xbe",
        b"\x04\x04/a%b",
        b"\x00\x01b\x01#",
        b"\x01\x03a#b", // the authority has no fragment, but is wrong
    ];
    for block in blocks {
        assert!(!fragment(block), "{block:x?}");
    }
}
