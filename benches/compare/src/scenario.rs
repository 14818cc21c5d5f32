//! What is measured: which way requests come, what they ask for, who takes part, and what is to come
//! of it.

use crate::contender::Contender;

/// The sizes of what the origin answers with, in bytes.
pub const MEBIBYTE: usize = 1 << 20;
pub const HUNDRED: usize = 100 << 10;
pub const KIB: usize = 1 << 10;
pub const DOCUMENT: usize = 2 << 10;

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
    /// Requests that all bring the same token.
    Token,
    /// Requests that are counted.
    Limit,
    /// One answer of 1 KiB, from caches.
    CacheHit1k,
    /// One answer of 100 KiB, from caches.
    CacheHit100k,
    /// Answers of 1 KiB that caches store, each to a URL of its own.
    CacheFill,
    /// Answers of 2 KiB in JSON, one member of which is set.
    JsonSet,
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
    pub const ALL: [Self; 17] = [
        Self::Http1,
        Self::Http2,
        Self::Tls,
        Self::TlsHttp2,
        Self::Http2Upstream,
        Self::Mebibyte,
        Self::Balance,
        Self::Token,
        Self::Limit,
        Self::CacheHit1k,
        Self::CacheHit100k,
        Self::CacheFill,
        Self::JsonSet,
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
            Self::Token => "token",
            Self::Limit => "limit",
            Self::CacheHit1k => "cache-hit-1k",
            Self::CacheHit100k => "cache-hit-100k",
            Self::CacheFill => "cache-fill",
            Self::JsonSet => "json-set",
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

    /// The path that is asked for, or the first one.
    pub fn path(self) -> &'static str {
        match self {
            Self::Mebibyte => "/p42/mebibyte",
            Self::CacheHit1k => "/p42/kib",
            Self::CacheHit100k => "/p42/hundred",
            Self::CacheFill => "/p42/fill/0",
            Self::JsonSet => "/p42/json",
            _ => "/p42/hello",
        }
    }

    /// How many bytes the origin answers with.
    pub fn answer(self) -> usize {
        match self {
            Self::Mebibyte => MEBIBYTE,
            Self::CacheHit1k | Self::CacheFill => KIB,
            Self::CacheHit100k => HUNDRED,
            Self::JsonSet => DOCUMENT,
            _ => "hello, world\n".len(),
        }
    }

    /// Whether every request asks for a URL of its own.
    pub fn is_numbered(self) -> bool {
        self == Self::CacheFill
    }

    /// Whether caches have the answer when a round begins.
    pub fn is_hit(self) -> bool {
        matches!(self, Self::CacheHit1k | Self::CacheHit100k)
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
            Self::Token => &[C::BareTuned, C::Plain, C::Token],
            Self::Limit => &[C::BareTuned, C::Plain, C::Limit],
            Self::CacheHit1k | Self::CacheHit100k => {
                &[C::BareTuned, C::Plain, C::NginxCache, C::Cache]
            }
            Self::CacheFill => &[C::Bare, C::BareTuned, C::Plain, C::NginxCache, C::Cache],
            Self::JsonSet => &[C::BareTuned, C::Plain, C::Json],
            _ => &[C::BareTuned, C::Nginx, C::Plain],
        }
    }

    /// What ratios are taken against, where it takes part.
    pub fn bases(self) -> &'static [Contender] {
        use Contender as C;
        match self {
            Self::Token | Self::Limit | Self::JsonSet => &[C::BareTuned, C::Plain],
            Self::CacheHit1k | Self::CacheHit100k => &[C::BareTuned, C::Plain, C::NginxCache],
            Self::CacheFill => &[C::Bare, C::BareTuned, C::Plain, C::NginxCache],
            _ => &[C::Bare, C::BareTuned, C::Nginx],
        }
    }

    /// What is to come of it.
    pub fn goals(self) -> Vec<Goal> {
        use Contender as C;
        let goals: &[(C, C, f64)] = match self {
            Self::Http1 => &[
                (C::Plain, C::BareTuned, 1.03),
                (C::Plain, C::Bare, 0.90),
                (C::SixFilters, C::BareTuned, 1.15),
                (C::TenThousand, C::Plain, 1.03),
            ],
            Self::Balance => &[
                (C::Balanced("round_robin"), C::BareTuned, 1.05),
                (C::Balanced("least_requests"), C::BareTuned, 1.05),
            ],
            Self::Token => &[(C::Token, C::Plain, 1.05)],
            Self::Limit => &[(C::Limit, C::Plain, 1.03)],
            Self::CacheHit1k => &[(C::Cache, C::NginxCache, 1.00), (C::Cache, C::Plain, 0.40)],
            // The same answer for all, so that this is bytes per processor time, too.
            Self::CacheHit100k => &[(C::Cache, C::NginxCache, 1.00)],
            Self::CacheFill => &[(C::Cache, C::Plain, 1.10)],
            Self::JsonSet => &[(C::Json, C::Plain, 1.25)],
            Self::Idle | Self::IdleHttp2 | Self::IdleTls | Self::IdleTlsHttp2 => &[],
            _ => &[(C::Plain, C::BareTuned, 1.05)],
        };
        let goals = goals.iter();
        goals
            .map(|&(who, against, at_most)| Goal {
                who,
                against,
                at_most,
            })
            .collect()
    }
}

/// How much processor time per request one contender may take at most, as a ratio to another one.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    pub who: Contender,
    pub against: Contender,
    pub at_most: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_and_bases_are_of_those_who_take_part() {
        for scenario in Scenario::ALL {
            let all = scenario.contenders();
            for goal in scenario.goals() {
                assert!(all.contains(&goal.who), "{scenario:?}: {goal:?}");
                assert!(all.contains(&goal.against), "{scenario:?}: {goal:?}");
            }
            let part = |base| all.contains(base);
            assert!(scenario.bases().iter().any(part), "{scenario:?}");
        }
    }
}
