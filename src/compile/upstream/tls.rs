//! TLS towards endpoints out of its configuration.

use wiregate_sdk::value::{At, Place, Problem};

use crate::compile::files::{self, Files};
use crate::config::model::upstream::{self as model, Protocol, Upstream, Verify};
use crate::upstream::{Authorities, Identity, Tls, authorities};

/// Reads what the configuration names; without `tls` there is none.
pub(super) fn build(
    upstream: &str,
    config: &At<Upstream>,
    files: &Files,
    problems: &mut Vec<Problem>,
) -> Option<Tls> {
    check_protocol(config, problems);
    let tls = config.tls.as_ref()?;
    if tls.verify == Verify::DangerouslyOff {
        tracing::warn!(
            upstream,
            place = %tls.place,
            "certificates are not verified: anyone on the way can read and change everything"
        );
    }
    if tls.verify == Verify::DangerouslyOff
        && let Some(ca) = tls.ca.iter().flat_map(|all| all.iter()).next()
    {
        let message = "`ca` says nothing with `verify: dangerously_off`: no authority is asked for";
        let problem = Problem::new(ca.place.clone(), message);
        problems.push(
            problem.help("leave `verify` out, so that certificates have to be from this one"),
        );
    }
    if tls.ca.is_none()
        && let Some(why) = authorities::unreadable()
    {
        let message = format!("the system's certificates of authorities cannot be read: {why}");
        let help = "write `ca`, or install `ca-certificates` (or mend `SSL_CERT_FILE`) and start the gateway anew";
        problems.push(Problem::new(tls.place.clone(), message).help(help));
    }
    let mut reader = Reader { files, problems };
    Some(Tls {
        server_name: tls.server_name.as_ref().map(|name| name.value.clone()),
        verify: tls.verify,
        authorities: reader.authorities(tls),
        identity: reader.identity(tls),
    })
}

fn check_protocol(config: &At<Upstream>, problems: &mut Vec<Problem>) {
    let (message, help) = match (config.protocol, &config.tls) {
        (Protocol::H2c, Some(_)) => (
            "`protocol: h2c` is HTTP/2 without TLS, but there is `tls`",
            "write `protocol: h2` for HTTP/2 over TLS",
        ),
        (Protocol::H2, None) => (
            "`protocol: h2` is HTTP/2 over TLS, but there is no `tls`",
            "write `tls: {}`, or `protocol: h2c` for HTTP/2 without TLS",
        ),
        (Protocol::Negotiate, None) => (
            "`protocol: negotiate` is settled by TLS, but there is no `tls`",
            "write `tls: {}`",
        ),
        _ => return,
    };
    problems.push(Problem::new(config.place.clone(), message).help(help));
}

struct Reader<'a> {
    files: &'a Files,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn authorities(&mut self, tls: &model::Tls) -> Option<Authorities> {
        let mut all = Vec::new();
        for path in tls.ca.as_ref()? {
            let bytes = self.file(path);
            let read = bytes.map(|bytes| Authorities::read(&bytes));
            all.extend(self.good(read, path).unwrap_or_default());
        }
        Some(Authorities::of(all))
    }

    fn identity(&mut self, tls: &At<model::Tls>) -> Option<Identity> {
        let (certificate, key) = match (&tls.certificate, &tls.key) {
            (None, None) => return None,
            (Some(certificate), Some(key)) => (certificate, key),
            (certificate, key) => {
                let place = certificate
                    .as_ref()
                    .or(key.as_ref())
                    .map(|path| &path.place);
                let message = "`certificate` and `key` belong together, but one is missing";
                self.say(place.unwrap_or(&tls.place), message.to_owned());
                return None;
            }
        };
        let (bytes, key) = (self.file(certificate), self.file(key));
        let read = bytes.zip(key);
        let read = read.map(|(certificate, key)| Identity::read(&certificate, &key));
        self.good(read, certificate)
    }

    fn file(&mut self, path: &At<String>) -> Option<Vec<u8>> {
        let read = files::read(path, self.files);
        read.map_err(|problem| self.problems.push(problem)).ok()
    }

    fn good<T>(&mut self, read: Option<Result<T, String>>, path: &At<String>) -> Option<T> {
        match read? {
            Ok(good) => Some(good),
            Err(why) => {
                self.say(&path.place, format!("`{}`: {why}", path.value));
                None
            }
        }
    }

    fn say(&mut self, place: &Place, message: String) {
        self.problems.push(Problem::new(place.clone(), message));
    }
}
