//! nginx as an origin, with TLS or without, and the certificates that it shows.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

use crate::harness::until;

/// An authority that makes certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        Self { issuer }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Writes `NAME.pem` and `NAME.key` for this host, valid until the first day of this year.
    pub fn write(&self, folder: &Path, name: &str, host: &str, until: i32) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// A running nginx; killed when dropped.
pub struct Nginx {
    child: Child,
}

impl Nginx {
    /// Starts nginx in this folder with these `server` blocks, and waits until it accepts
    /// connections at this address.
    pub fn start(folder: &Path, servers: &str, address: &str) -> Self {
        let prefix = folder.display();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {prefix}/nginx.pid;\nerror_log stderr crit;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n access_log off;\n keepalive_requests 100000;\n\
             client_body_temp_path {prefix}/t1;\n proxy_temp_path {prefix}/t2;\n\
             fastcgi_temp_path {prefix}/t3;\n uwsgi_temp_path {prefix}/t4;\n\
             scgi_temp_path {prefix}/t5;\n{servers}\n}}\n"
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let child = Command::new("nginx")
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(&file)
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut this = Self { child };
        until("nginx accepts connections", || {
            let ended = this.child.try_wait().unwrap();
            assert!(ended.is_none(), "nginx ended: {ended:?}");
            match address.strip_prefix("unix:") {
                Some(path) => std::os::unix::net::UnixStream::connect(path).is_ok(),
                None => std::net::TcpStream::connect(address).is_ok(),
            }
        });
        this
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that is free now.
pub fn free() -> SocketAddr {
    let [address] = several_free();
    address
}

/// Several of them, no two of which are the same.
pub fn several_free<const N: usize>() -> [SocketAddr; N] {
    let listeners: [_; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

/// A server block that tells about the connection, with these further directives.
pub fn telling(listen: &str, directives: &str) -> String {
    format!(
        "server {{ listen {listen}; {directives}\n location / {{ default_type text/plain; return 200 \
         \"$server_protocol|$ssl_server_name|$ssl_client_verify|$ssl_client_s_dn|$connection|$host\"; }} }}\n"
    )
}

/// A server block with TLS, with the certificate of this name.
pub fn secure(address: SocketAddr, certificate: &str, directives: &str) -> String {
    let certificate =
        format!("ssl_certificate {certificate}.pem; ssl_certificate_key {certificate}.key;");
    telling(
        &format!("{address} ssl"),
        &format!("{certificate} {directives}"),
    )
}
