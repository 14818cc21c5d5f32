//! The authorities that the system trusts, for endpoints over TLS without `ca`.

use std::sync::OnceLock;

use pingora_core::tls::{RootCertStore, load_platform_certs_incl_env_into_store};

/// A file without certificates.
const NONE: &str = "/dev/null";

/// Why the system's certificates cannot be read, if they cannot. They are read once, as connectors do.
pub fn unreadable() -> Option<&'static str> {
    static WHY: OnceLock<Option<String>> = OnceLock::new();
    let why = WHY.get_or_init(|| {
        let mut store = RootCertStore::empty();
        let error = load_platform_certs_incl_env_into_store(&mut store).err()?;
        Some(error.root_cause().to_string())
    });
    why.as_deref()
}

/// What connectors read in place of the system's certificates: nothing where those can be read. Where they cannot, Pingora would
/// end the gateway, and so a file that has none is read: nobody is trusted then, and a configuration in which somebody would have
/// to be is refused.
pub fn ca_file() -> Option<String> {
    unreadable().map(|_| NONE.to_owned())
}
