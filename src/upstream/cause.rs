//! Why an attempt has failed, in the words of RFC 9209, 2.3.

use http::{HeaderValue, StatusCode};

macro_rules! causes {
    ($($(#[doc = $doc:literal])* $name:ident: $word:literal, $status:ident, $field:literal;)*) => {
        /// Why an upstream did not answer. The word is the same in the reply's `type`, the access
        /// log's `error`, the metrics, and `Proxy-Status`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Cause {
            $($(#[doc = $doc])* $name,)*
        }

        impl Cause {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What each of them means.
            #[cfg(test)]
            const MEANINGS: &'static [&'static str] = &[$(concat!($($doc),*),)*];

            /// Its word.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// The status of the reply.
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$name => StatusCode::$status,)*
                }
            }

            /// The value of `Proxy-Status`. No address of an endpoint is in it.
            pub const fn proxy_status(self) -> HeaderValue {
                HeaderValue::from_static(match self {
                    $(Self::$name => concat!("wiregate; error=", $field),)*
                })
            }
        }
    };
}

causes! {
    /// No connection came about in time.
    ConnectionTimeout: "connection_timeout", GATEWAY_TIMEOUT, "connection_timeout";
    /// Nobody listens there.
    ConnectionRefused: "connection_refused", BAD_GATEWAY, "connection_refused";
    /// The connection was closed or reset before the response was whole.
    ConnectionTerminated: "connection_terminated", BAD_GATEWAY, "connection_terminated";
    /// The response's body stopped coming.
    ConnectionReadTimeout: "connection_read_timeout", GATEWAY_TIMEOUT, "connection_read_timeout";
    /// The request could not be written in time.
    ConnectionWriteTimeout: "connection_write_timeout", GATEWAY_TIMEOUT, "connection_write_timeout";
    /// As many requests are under way as may be.
    ConnectionLimitReached: "connection_limit_reached", SERVICE_UNAVAILABLE, "connection_limit_reached";
    /// There is no way to the address.
    DestinationIpUnroutable: "destination_ip_unroutable", BAD_GATEWAY, "destination_ip_unroutable";
    /// No endpoint is healthy.
    DestinationUnavailable: "destination_unavailable", SERVICE_UNAVAILABLE, "destination_unavailable";
    /// No name of an endpoint was ever resolved.
    DnsError: "dns_error", SERVICE_UNAVAILABLE, "dns_error";
    /// Too many attempts have failed of late.
    CircuitOpen: "circuit_open", SERVICE_UNAVAILABLE, "destination_unavailable; details=\"circuit_open\"";
    /// The connection could not be opened for another reason.
    ConnectionFailed: "connection_failed", BAD_GATEWAY, "destination_unavailable; details=\"connection_failed\"";
    /// The TLS handshake failed.
    TlsProtocolError: "tls_protocol_error", BAD_GATEWAY, "tls_protocol_error";
    /// The endpoint's certificate is not accepted.
    TlsCertificateError: "tls_certificate_error", BAD_GATEWAY, "tls_certificate_error";
    /// The endpoint broke the TLS handshake off with an alert.
    TlsAlertReceived: "tls_alert_received", BAD_GATEWAY, "tls_alert_received";
    /// The connection was closed in the middle of a response.
    ResponseIncomplete: "http_response_incomplete", BAD_GATEWAY, "http_response_incomplete";
    /// The response's head is too large.
    ResponseHeadSize: "http_response_header_section_size", BAD_GATEWAY, "http_response_header_section_size";
    /// No response came in time.
    ResponseTimeout: "http_response_timeout", GATEWAY_TIMEOUT, "http_response_timeout";
    /// An upgrade that nobody has asked for.
    UpgradeFailed: "http_upgrade_failed", BAD_GATEWAY, "http_upgrade_failed";
    /// What came is not HTTP.
    ProtocolError: "http_protocol_error", BAD_GATEWAY, "http_protocol_error";
}

impl Cause {
    /// The cause with this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|cause| cause.word() == word)
    }

    /// Its position among all.
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_has_a_row_for_each_and_no_other() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/upstreams.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, table) = page
            .split_once("\n| word | status | in `Proxy-Status` | when |\n|---|---|---|---|\n")
            .unwrap();
        let rows: Vec<&str> = table
            .lines()
            .take_while(|line| line.starts_with('|'))
            .collect();
        let expected = Cause::ALL
            .iter()
            .zip(Cause::MEANINGS)
            .map(|(cause, meaning)| {
                let field = cause.proxy_status();
                let (_, error) = field.to_str().unwrap().split_once("error=").unwrap();
                let (word, status) = (cause.word(), cause.status().as_u16());
                let meaning = meaning.trim().trim_end_matches('.');
                format!("| `{word}` | {status} | `{error}` | {meaning} |")
            });
        assert_eq!(rows, expected.collect::<Vec<_>>());
    }

    #[test]
    fn each_has_a_word_a_status_and_a_field_of_its_own() {
        for (index, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(cause.index(), index);
            assert_eq!(Cause::of(cause.word()), Some(*cause));
            assert!(matches!(cause.status().as_u16(), 502..=504));
            let field = cause.proxy_status();
            assert!(field.to_str().unwrap().starts_with("wiregate; error="));
        }
        assert_eq!(Cause::of("no_route"), None);
    }
}
