//! The authorities that the system trusts, for endpoints over TLS without `ca`.

use std::sync::OnceLock;

use pingora_core::tls::{RootCertStore, load_platform_certs_incl_env_into_store};

/// A file without certificates.
const NONE: &str = "/dev/null";

/// What connectors read in place of the system's certificates: nothing where those can be read. Where they cannot, Pingora would
/// end the gateway, and so a file that has none is read: nobody is trusted then without `ca`.
pub fn ca_file() -> Option<String> {
    static FILE: OnceLock<Option<String>> = OnceLock::new();
    FILE.get_or_init(|| {
        let mut store = RootCertStore::empty();
        let error = load_platform_certs_incl_env_into_store(&mut store).err()?;
        tracing::warn!(
            %error,
            "the system's certificates of authorities cannot be read (`SSL_CERT_FILE`, or the package `ca-certificates`): \
             no endpoint over TLS is trusted without a `ca` of its own"
        );
        Some(NONE.to_owned())
    })
    .clone()
}
