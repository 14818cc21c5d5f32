//! How the response of an endpoint is framed.

use http::{HeaderMap, header};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;

/// Checks how a response is framed, and says how long it is as it is said elsewhere.
///
/// # Errors
/// It has a transfer coding that nobody has asked for, and that would be taken for its content (RFC 9112, 7.4), or
/// has no single length (RFC 9110, 8.6).
pub(super) fn settle(head: &mut ResponseHeader) -> Result<()> {
    let wrong = |what| Err(Error::explain(ErrorType::InvalidHTTPHeader, what).into_up());
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return wrong("another transfer coding than `chunked`");
    }
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else {
        return Ok(());
    };
    let is_plain = |value: &[u8]| {
        value.iter().all(u8::is_ascii_digit) && value.first().is_some_and(|digit| *digit != b'0')
    };
    if lengths.next().is_none() && (is_plain(first.as_bytes()) || first == "0") {
        return Ok(());
    }
    let Some(length) = single_length(&head.headers) else {
        return wrong("no single `content-length`");
    };
    head.insert_header(header::CONTENT_LENGTH, length)
}

/// The length that all of the values say, and each member of their lists.
fn single_length(fields: &HeaderMap) -> Option<u64> {
    let values = fields.get_all(header::CONTENT_LENGTH).iter();
    let mut members = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let read = |member: &[u8]| {
        let digits = member.trim_ascii();
        let text = (digits.iter().all(u8::is_ascii_digit)).then(|| str::from_utf8(digits).ok());
        text.flatten()?.parse::<u64>().ok()
    };
    let first = read(members.next()?)?;
    members
        .all(|member| read(member) == Some(first))
        .then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_framed_in_one_way() {
        let settled = |fields: &[(&'static str, &str)]| {
            let mut head = ResponseHeader::build(200, None).unwrap();
            for (name, value) in fields {
                head.append_header(*name, *value).unwrap();
            }
            settle(&mut head).ok()?;
            let values = head.headers.values();
            Some(
                values
                    .map(|value| value.to_str().unwrap().to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let length = "content-length";
        for (values, one) in [
            (&["5"][..], "5"),
            (&["0"], "0"),
            (&["00"], "0"),
            (&["05"], "5"),
            (&["5", "5"], "5"),
            (&["5, 5", "05"], "5"),
        ] {
            let fields: Vec<_> = values.iter().map(|value| (length, *value)).collect();
            assert_eq!(settled(&fields), Some(vec![one.to_owned()]), "{values:?}");
        }
        for values in [
            &["5", "6"][..],
            &["5, 6"],
            &[""],
            &["5,"],
            &["+5"],
            &["-5"],
            &["5 5"],
        ] {
            let fields: Vec<_> = values.iter().map(|value| (length, *value)).collect();
            assert_eq!(settled(&fields), None, "{values:?}");
        }
        let coding = "transfer-encoding";
        assert_eq!(
            settled(&[(coding, "Chunked")]),
            Some(vec!["Chunked".to_owned()])
        );
        for values in [
            &["gzip, chunked"][..],
            &["gzip"],
            &["identity"],
            &[""],
            &["xchunked"],
            &["chunked, chunked"],
            &[",chunked"],
            &["chunked", "chunked"],
        ] {
            let fields: Vec<_> = values.iter().map(|value| (coding, *value)).collect();
            assert_eq!(settled(&fields), None, "{values:?}");
        }
    }
}
