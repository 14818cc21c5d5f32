//! Names of fields that are known: what is stored has a number for them.

use http::{HeaderName, header};

/// Each of these names, as it is spelt on an HTTP/1.1 connection.
macro_rules! known {
    ($($name:ident $spelt:literal,)*) => {
        /// A name that is known, as a number.
        #[derive(Clone, Copy)]
        #[repr(u8)]
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)] // they are the constants' own
        enum Known {
            $($name,)*
        }

        static KNOWN: &[(HeaderName, &str)] = &[$((header::$name, $spelt),)*];

        /// The number of a name, if it is known.
        pub(super) fn number(name: &HeaderName) -> Option<u8> {
            Some(match *name {
                $(header::$name => Known::$name as u8,)*
                _ => return None,
            })
        }
    };
}

// Pingora writes those in capitals so that are first here, and all others in lower case.
known! {
    ACCEPT_RANGES "Accept-Ranges",
    AGE "Age",
    CACHE_CONTROL "Cache-Control",
    CONNECTION "Connection",
    CONTENT_TYPE "Content-Type",
    CONTENT_ENCODING "Content-Encoding",
    CONTENT_LENGTH "Content-Length",
    DATE "Date",
    TRANSFER_ENCODING "Transfer-Encoding",
    HOST "Host",
    SERVER "Server",
    SET_COOKIE "Set-Cookie",
    ACCESS_CONTROL_ALLOW_CREDENTIALS "access-control-allow-credentials",
    ACCESS_CONTROL_ALLOW_HEADERS "access-control-allow-headers",
    ACCESS_CONTROL_ALLOW_METHODS "access-control-allow-methods",
    ACCESS_CONTROL_ALLOW_ORIGIN "access-control-allow-origin",
    ACCESS_CONTROL_EXPOSE_HEADERS "access-control-expose-headers",
    ACCESS_CONTROL_MAX_AGE "access-control-max-age",
    ALLOW "allow",
    ALT_SVC "alt-svc",
    CACHE_STATUS "cache-status",
    CDN_CACHE_CONTROL "cdn-cache-control",
    CONTENT_DISPOSITION "content-disposition",
    CONTENT_LANGUAGE "content-language",
    CONTENT_LOCATION "content-location",
    CONTENT_SECURITY_POLICY "content-security-policy",
    CONTENT_SECURITY_POLICY_REPORT_ONLY "content-security-policy-report-only",
    ETAG "etag",
    EXPIRES "expires",
    LAST_MODIFIED "last-modified",
    LINK "link",
    LOCATION "location",
    PRAGMA "pragma",
    REFERRER_POLICY "referrer-policy",
    RETRY_AFTER "retry-after",
    STRICT_TRANSPORT_SECURITY "strict-transport-security",
    VARY "vary",
    VIA "via",
    WARNING "warning",
    X_CONTENT_TYPE_OPTIONS "x-content-type-options",
    X_DNS_PREFETCH_CONTROL "x-dns-prefetch-control",
    X_FRAME_OPTIONS "x-frame-options",
    X_XSS_PROTECTION "x-xss-protection",
}

/// Fields that a stored head is not sent with, whatever it has: whoever sends it tells its age, and the request's id.
pub(super) static REPLACED: [HeaderName; 2] =
    [header::AGE, HeaderName::from_static("x-request-id")];

/// Whether a field of this name, with this number, is replaced when a stored head is sent.
pub(super) fn is_replaced(name: &HeaderName, number: Option<u8>) -> bool {
    let [_, id] = &REPLACED;
    match number {
        Some(number) => number == Known::AGE as u8,
        None => name == id,
    }
}

/// Whether this is the number of `content-length`.
pub(super) fn is_length(number: Option<u8>) -> bool {
    number == Some(Known::CONTENT_LENGTH as u8)
}

/// All names that are known.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static HeaderName> {
    KNOWN.iter().map(|(name, _)| name)
}

/// The name with this number.
pub(super) fn name(number: u8) -> &'static HeaderName {
    &KNOWN[usize::from(number)].0
}

/// How the name with this number is spelt on an HTTP/1.1 connection. Others are in lower case there.
pub(super) fn spelt(number: u8) -> &'static str {
    KNOWN[usize::from(number)].1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_known_name_has_its_number() {
        for (at, (known, spelling)) in KNOWN.iter().enumerate() {
            assert_eq!(number(known).map(usize::from), Some(at));
            assert_eq!((name(at as u8), spelt(at as u8)), (known, *spelling));
            assert_eq!(spelling.to_ascii_lowercase(), known.as_str());
        }
        let replaced = all().filter(|name| is_replaced(name, number(name)));
        assert!(replaced.eq([&header::AGE]));
        assert!(is_replaced(&REPLACED[1], None) && number(&REPLACED[1]).is_none());
        assert!(all().all(|name| is_length(number(name)) == (name == header::CONTENT_LENGTH)));
        let own = HeaderName::from_static("x-own");
        assert!(!is_replaced(&own, None) && !is_length(None));
        assert_eq!((number(&own), number(&header::TE)), (None, None));
    }
}
