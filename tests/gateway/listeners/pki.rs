//! Certificates for tests.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// An authority of its own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Writes its certificate.
    pub fn save(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(name), self.0.pem()).unwrap();
    }

    /// Writes `NAME.pem` and `NAME.key` for these names, with the common name NAME.
    pub fn issue(&self, folder: &Path, name: &str, names: &[&str]) {
        self.issue_until(folder, name, names, 2100);
    }

    /// The same, good until the start of a year.
    pub fn issue_until(&self, folder: &Path, name: &str, names: &[&str], year: i32) {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        // Put in place as a whole, the key first.
        for (end, text) in [("key", key.serialize_pem()), ("pem", certificate.pem())] {
            let new = folder.join(format!("{name}.{end}.new"));
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, folder.join(format!("{name}.{end}"))).unwrap();
        }
    }
}

/// What `openssl s_client` says of a handshake.
pub fn s_client(address: SocketAddr, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// The common name of the certificate that a client gets for this name.
pub fn common_name(address: SocketAddr, name: Option<&str>) -> String {
    let said = match name {
        Some(name) => s_client(address, &["-servername", name]),
        None => s_client(address, &["-noservername"]),
    };
    let subject = said.lines().find_map(|line| line.strip_prefix("subject="));
    let subject = subject.unwrap_or_else(|| panic!("{said}"));
    subject.rsplit("CN = ").next().unwrap().trim().to_owned()
}
