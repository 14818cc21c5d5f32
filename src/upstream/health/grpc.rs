//! What `grpc.health.v1.Health/Check` says on the wire: two messages of one field each, which
//! need no library.

use bytes::Bytes;
use http::HeaderMap;
use pingora_http::RequestHeader;

pub(super) const PATH: &str = "/grpc.health.v1.Health/Check";
/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u64 = 1;
/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Adds what makes a request a call.
pub(super) fn head(mut head: RequestHeader) -> RequestHeader {
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        head.insert_header(name, value).expect("valid fields");
    }
    head
}

/// `HealthCheckRequest { service }` as a call's only message.
pub(super) fn request(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | 2); // the first field, of bytes
        let mut length = service.len();
        while length >= 0x80 {
            message.push(length as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).expect("a name from a configuration file");
    let mut call = vec![0];
    call.extend_from_slice(&length.to_be_bytes());
    call.extend_from_slice(&message);
    call.into()
}

/// Whether a call went well, as far as these fields tell: they are a head's, which has a status
/// only where there is no message, or trailers.
pub(super) fn is_ok(fields: &HeaderMap) -> bool {
    (fields.get("grpc-status")).is_none_or(|status| status.as_bytes() == b"0")
}

/// Whether a call's answer is `HealthCheckResponse { status: SERVING }`.
pub(super) fn is_serving(answer: &[u8]) -> bool {
    let Some((prefix, message)) = answer.split_at_checked(PREFIX) else {
        return false;
    };
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    let whole = prefix[0] == 0 && usize::try_from(length) == Ok(message.len());
    whole && status(message) == Some(SERVING)
}

/// The number in the first field, 0 where that is absent; `None` for what is no message.
fn status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match tag & 7 {
            0 => {
                let number = varint(&mut message)?;
                if tag >> 3 == 1 {
                    status = number;
                }
            }
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_a_service() {
        assert_eq!(&request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&request("a.B")[..], b"\0\0\0\0\x05\x0a\x03a.B");
        let long = request(&"x".repeat(300));
        assert_eq!(&long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn only_serving_is_serving() {
        assert!(is_serving(&[0, 0, 0, 0, 2, 8, 1]));
        assert!(
            is_serving(&[0, 0, 0, 0, 6, 18, 2, 7, 7, 8, 1]),
            "unknown fields"
        );
        for other in [
            &[][..],
            &[0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 8, 2],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 3, 8, 1],
            &[0, 0, 0, 0, 1, 8],
            &[0, 0, 0, 0, 2, 18, 9],
        ] {
            assert!(!is_serving(other), "{other:?}");
        }
    }

    #[test]
    fn a_status_other_than_0_is_a_failure() {
        let mut fields = HeaderMap::new();
        assert!(is_ok(&fields));
        fields.insert("grpc-status", http::HeaderValue::from_static("0"));
        assert!(is_ok(&fields));
        fields.insert("grpc-status", http::HeaderValue::from_static("5"));
        assert!(!is_ok(&fields));
    }
}
