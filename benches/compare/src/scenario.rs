//! What is measured: which way requests come, what they ask for, and who takes part.

use crate::contender::Contender;

/// One table of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Small answers over HTTP/1.1, without TLS.
    Http1,
    /// The same over HTTP/2 from the client on, with prior knowledge.
    Http2,
    /// HTTP/1.1 in TLS.
    Tls,
    /// HTTP/2 in TLS.
    TlsHttp2,
    /// HTTP/1.1 from the client, HTTP/2 to the origin.
    Http2Upstream,
    /// Answers of 1 MiB.
    Mebibyte,
    /// Each way of balancing, over three endpoints.
    Balance,
    /// What connections hold that do nothing.
    Idle,
    /// The same over HTTP/2.
    IdleHttp2,
    /// The same in TLS.
    IdleTls,
    /// The same over HTTP/2 in TLS.
    IdleTlsHttp2,
}

impl Scenario {
    pub const ALL: [Self; 11] = [
        Self::Http1,
        Self::Http2,
        Self::Tls,
        Self::TlsHttp2,
        Self::Http2Upstream,
        Self::Mebibyte,
        Self::Balance,
        Self::Idle,
        Self::IdleHttp2,
        Self::IdleTls,
        Self::IdleTlsHttp2,
    ];

    /// The name in the report and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Tls => "tls",
            Self::TlsHttp2 => "tls-http2",
            Self::Http2Upstream => "http2-upstream",
            Self::Mebibyte => "mebibyte",
            Self::Balance => "balance",
            Self::Idle => "idle",
            Self::IdleHttp2 => "idle-http2",
            Self::IdleTls => "idle-tls",
            Self::IdleTlsHttp2 => "idle-tls-http2",
        }
    }

    /// Whether clients speak TLS.
    pub fn tls(self) -> bool {
        use Scenario as S;
        matches!(self, S::Tls | S::TlsHttp2 | S::IdleTls | S::IdleTlsHttp2)
    }

    /// Whether clients speak HTTP/2.
    pub fn http2(self) -> bool {
        use Scenario as S;
        matches!(
            self,
            S::Http2 | S::TlsHttp2 | S::IdleHttp2 | S::IdleTlsHttp2
        )
    }

    /// Whether connections are held, and not loaded.
    pub fn is_idle(self) -> bool {
        use Scenario as S;
        matches!(self, S::Idle | S::IdleHttp2 | S::IdleTls | S::IdleTlsHttp2)
    }

    /// Whether the origin is spoken to in HTTP/2.
    pub fn http2_upstream(self) -> bool {
        self == Self::Http2Upstream
    }

    /// The path that is asked for.
    pub fn path(self) -> &'static str {
        match self {
            Self::Mebibyte => "/p42/mebibyte",
            _ => "/p42/hello",
        }
    }

    /// Who takes part.
    pub fn contenders(self) -> &'static [Contender] {
        use Contender as C;
        match self {
            Self::Http1 => &[
                C::Bare,
                C::BareTuned,
                C::BareTunedNoSteal,
                C::Nginx,
                C::Plain,
                C::SixFilters,
                C::TenThousand,
            ],
            // nginx speaks no HTTP/2 to an origin, but for gRPC.
            Self::Http2Upstream => &[C::BareTuned, C::Plain],
            Self::Balance => &[
                C::BareTuned,
                C::Plain,
                C::Balanced("round_robin"),
                C::Balanced("least_requests"),
                C::Balanced("peak_ewma"),
                C::Balanced("random"),
                C::Balanced("{ hash: { by: request.path } }"),
            ],
            _ => &[C::BareTuned, C::Nginx, C::Plain],
        }
    }
}
