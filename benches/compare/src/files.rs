//! The configurations of Wiregate as contenders: those in `conf/`, made to fit a run.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;

use crate::contender::Stage;
use crate::scenario::Scenario;

/// The addresses that the files in `conf/` name, and that a run replaces by free ones.
const LISTEN: &str = "127.0.0.1:8080";
const ORIGIN: &str = "127.0.0.1:9001";

pub const PLAIN: &str = include_str!("../conf/plain.yaml");
pub const SIX_FILTERS: &str = include_str!("../conf/six-filters.yaml");
pub const TOKEN: &str = include_str!("../conf/token.yaml");
pub const LIMIT: &str = include_str!("../conf/limit.yaml");
pub const CACHE: &str = include_str!("../conf/cache.yaml");
pub const JSON: &str = include_str!("../conf/json.yaml");
pub const OVERLOAD: &str = include_str!("../conf/overload.yaml");

/// The file with what a scenario asks for beside it.
pub fn fitted(yaml: &str, scenario: Scenario, stage: &Stage<'_>) -> String {
    let mut yaml = yaml.to_owned();
    if scenario.tls() {
        let file = |name: &str| stage.folder.join(name).display().to_string();
        let tls = format!(
            "{LISTEN}\", tls: {{ certificates: [{{ certificate: \"{}\", key: \"{}\" }}] }} }}",
            file("cert.pem"),
            file("key.pem")
        );
        yaml = yaml.replacen(&format!("{LISTEN}\" }}"), &tls, 1);
    }
    if scenario.http2_upstream() {
        let http2 = format!("{ORIGIN}\"], protocol: h2c }}");
        yaml = yaml.replacen(&format!("{ORIGIN}\"] }}"), &http2, 1);
    }
    yaml
}

/// The file with three endpoints: the origin by three addresses of the loopback interface.
pub fn balanced(how: &str, origin: SocketAddr) -> String {
    let port = origin.port();
    let endpoints =
        format!("{ORIGIN}\", \"127.0.0.2:{port}\", \"127.0.0.3:{port}\"], balance: {how} }}");
    PLAIN.replacen(&format!("{ORIGIN}\"] }}"), &endpoints, 1)
}

/// The file with the two addresses of this run in place of the ones it names.
pub fn moved(yaml: &str, listen: SocketAddr, origin: SocketAddr) -> io::Result<String> {
    for address in [LISTEN, ORIGIN] {
        let found = yaml.matches(address).count();
        if found != 1 {
            let problem = format!("expected {address} once in the file, found it {found} times");
            return Err(io::Error::other(problem));
        }
    }
    // One pass, as the new address of the one may be the old address of the other.
    let (first, second) = match yaml.find(LISTEN) < yaml.find(ORIGIN) {
        true => ((LISTEN, listen), (ORIGIN, origin)),
        false => ((ORIGIN, origin), (LISTEN, listen)),
    };
    let (before, rest) = yaml.split_once(first.0).expect("counted above");
    let (between, after) = rest.split_once(second.0).expect("counted above");
    Ok([
        before,
        &first.1.to_string(),
        between,
        &second.1.to_string(),
        after,
    ]
    .concat())
}

/// A hundred hosts with a hundred paths each, on one upstream.
pub fn ten_thousand() -> String {
    let (head, _) = PLAIN.split_once("routes:").expect("the file has routes");
    let mut yaml = format!("{head}routes:\n");
    for host in 0..100 {
        for path in 0..100 {
            writeln!(
                yaml,
                "  - {{ name: h{host}-p{path}, match: {{ host: h{host}.example.com, \
                 path: /p{path}/** }}, upstream: origin }}"
            )
            .expect("a string takes everything");
        }
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiregate_accepts_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage {
            binaries: folder.path(),
            folder: folder.path(),
            memory: folder.path(),
        };
        let (origin, listen) = (ORIGIN.parse().unwrap(), LISTEN.parse().unwrap());
        for scenario in Scenario::ALL {
            let fitted = fitted(PLAIN, scenario, &stage);
            assert_eq!(fitted.contains("tls:"), scenario.tls());
            assert_eq!(fitted.contains("h2c"), scenario.http2_upstream());
            assert!(moved(&fitted, listen, origin).is_ok());
        }
        let balanced = moved(&balanced("random", origin), listen, origin).unwrap();
        assert!(
            balanced.contains("\"127.0.0.3:9001\"], balance: random }"),
            "{balanced}"
        );
    }

    #[test]
    fn a_file_is_moved_to_the_addresses_of_the_run() {
        let origin = LISTEN.parse().unwrap();
        let listen = "127.0.0.1:5".parse().unwrap();
        for yaml in [
            PLAIN,
            SIX_FILTERS,
            TOKEN,
            LIMIT,
            CACHE,
            JSON,
            &ten_thousand(),
        ] {
            let moved = moved(yaml, listen, origin).unwrap();
            assert!(moved.contains("bind: \"127.0.0.1:5\""), "{moved:.600}");
            assert!(
                moved.contains("endpoints: [\"127.0.0.1:8080\"]"),
                "{moved:.600}"
            );
        }
        let twice = format!("{LISTEN} {LISTEN} {ORIGIN}");
        let error = moved(&twice, listen, origin).unwrap_err().to_string();
        assert!(error.ends_with("found it 2 times"), "{error}");
    }

    #[test]
    fn ten_thousand_routes_hold_the_one_that_is_asked_for() {
        let yaml = ten_thousand();
        assert_eq!(yaml.matches("- { name: ").count(), 10_000);
        assert!(yaml.contains("host: h57.example.com, path: /p42/** }, upstream: origin"));
    }
}
