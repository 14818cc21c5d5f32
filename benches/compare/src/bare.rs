//! The smallest proxy that Pingora allows: one peer, no other hook, as its guide shows it.

use std::net::SocketAddr;
use std::process::ExitCode;

use async_trait::async_trait;
use pingora::apps::HttpServerOptions;
use pingora::listeners::tls::TlsSettings;
use pingora::prelude::*;
use pingora::proxy::ProxyServiceBuilder;
use pingora::server::configuration::ServerConf;

struct Bare {
    origin: SocketAddr,
    http2: bool,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new(self.origin, false, String::new());
        if self.http2 {
            peer.options.set_http_version(2, 2);
            peer.options.max_h2_streams = 100;
        }
        Ok(Box::new(peer))
    }
}

/// What the command line asks for.
#[derive(Default)]
struct Options {
    addresses: Vec<String>,
    no_steal: bool,
    h2c: bool,
    h2_upstream: bool,
    tls: Option<(String, String)>,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--no-steal" => options.no_steal = true,
                "--h2c" => options.h2c = true,
                "--h2-upstream" => options.h2_upstream = true,
                "--tls" => options.tls = Some((arguments.next()?, arguments.next()?)),
                _ => options.addresses.push(argument),
            }
        }
        Some(options)
    }
}

/// Serves `LISTEN ORIGIN [--no-steal] [--h2c] [--h2-upstream] [--tls CERTIFICATE KEY]` from the
/// command line on one worker, until a signal.
pub fn run() -> ExitCode {
    let Some(options) = Options::read(std::env::args().skip(1)) else {
        return usage("expected --tls CERTIFICATE KEY");
    };
    let [listen, origin] = &options.addresses[..] else {
        return usage("expected LISTEN ORIGIN and options");
    };
    let Ok(origin) = origin.parse() else {
        return usage("expected ORIGIN as address:port");
    };
    let mut server = Server::new_with_opt_and_conf(
        None,
        ServerConf {
            threads: 1,
            work_stealing: !options.no_steal,
            ..ServerConf::default()
        },
    );
    server.bootstrap();
    let bare = Bare {
        origin,
        http2: options.h2_upstream,
    };
    let mut proxy = ProxyServiceBuilder::new(&server.configuration, bare);
    if options.h2c {
        let mut http = HttpServerOptions::default();
        http.h2c = true;
        proxy = proxy.server_options(http);
    }
    let mut proxy = proxy.build();
    match &options.tls {
        None => proxy.add_tcp(listen),
        Some((certificate, key)) => {
            let Ok(mut tls) = TlsSettings::intermediate(certificate, key) else {
                return usage("expected a certificate and its key");
            };
            tls.enable_h2();
            proxy.add_tls_with_settings(listen, None, tls);
        }
    }
    server.add_service(proxy);
    server.run_forever()
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(2)
}
