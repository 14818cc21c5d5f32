//! The smallest proxy that Pingora allows: one peer, no other hook, as its guide shows it.

use std::net::SocketAddr;
use std::process::ExitCode;

use async_trait::async_trait;
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;

struct Bare {
    origin: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.origin, false, String::new())))
    }
}

/// Serves `LISTEN ORIGIN [--no-steal]` from the command line on one worker, until a signal.
pub fn run() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (listen, origin, work_stealing) = match &arguments[..] {
        [listen, origin] => (listen, origin, true),
        [listen, origin, flag] if flag == "--no-steal" => (listen, origin, false),
        _ => return usage("expected LISTEN ORIGIN [--no-steal]"),
    };
    let Ok(origin) = origin.parse() else {
        return usage("expected ORIGIN as address:port");
    };
    let mut server = Server::new_with_opt_and_conf(
        None,
        ServerConf {
            threads: 1,
            work_stealing,
            ..ServerConf::default()
        },
    );
    server.bootstrap();
    let mut proxy = http_proxy_service(&server.configuration, Bare { origin });
    proxy.add_tcp(listen);
    server.add_service(proxy);
    server.run_forever()
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(2)
}
