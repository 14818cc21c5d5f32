//! `wiregate cert`.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};

use super::{Failure, Outcome};

/// How long a certificate is good.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// Clocks may differ by this much.
const SKEW: Duration = Duration::from_secs(24 * 3600);

/// Make certificates for development.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    SelfSigned(SelfSigned),
}

/// Make a certificate that is signed with its own key, for development: it is good for a year, and
/// for those clients that are told to accept it, as with `curl --cacert cert.pem`.
#[derive(Debug, clap::Args)]
struct SelfSigned {
    /// A host name or IP address that it is for; may be repeated.
    #[arg(long = "name", default_values = ["localhost", "127.0.0.1", "::1"])]
    names: Vec<String>,
    /// The folder that gets `cert.pem` and `key.pem`.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Overwrite files that are there.
    #[arg(long)]
    force: bool,
}

#[expect(clippy::print_stdout, reason = "this is the command's answer")]
pub(super) fn run(arguments: Arguments) -> Outcome {
    let Command::SelfSigned(arguments) = arguments.command;
    let (certificate, key) = make(&arguments.names)
        .map_err(|error| Failure::Other(format!("cannot make a certificate: {error}")))?;
    let folder = &arguments.out;
    let files = [
        (folder.join("key.pem"), key, 0o600),
        (folder.join("cert.pem"), certificate, 0o644),
    ];
    if !arguments.force
        && let Some((path, ..)) = files.iter().find(|(path, ..)| path.exists())
    {
        let message = format!(
            "{} is there already; `--force` overwrites it",
            path.display()
        );
        return Err(Failure::Other(message));
    }
    for (path, text, mode) in &files {
        write(path, text, *mode, arguments.force)
            .map_err(|error| Failure::Other(format!("cannot write {}: {error}", path.display())))?;
    }
    let [(key, ..), (certificate, ..)] = &files;
    println!(
        "In the configuration, paths are relative to its file:\n\n\
         listeners:\n  public:\n    bind: \"127.0.0.1:8443\"\n    tls:\n      certificates:\n        \
         - {{ certificate: {}, key: {} }}",
        certificate.display(),
        key.display()
    );
    Ok(())
}

/// A certificate and its key, in PEM.
fn make(names: &[String]) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "wiregate self-signed");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = rcgen::date_time_ymd(1970, 1, 1) + now.unwrap_or_default();
    params.not_before = now - SKEW;
    params.not_after = now + LIFETIME;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Writes a file as a whole, with this mode from its beginning; replaces another only where that is
/// wanted.
fn write(path: &Path, text: &str, mode: u32, replace: bool) -> io::Result<()> {
    let mut open = OpenOptions::new();
    open.write(true).create_new(true).mode(mode);
    if !replace {
        return open.open(path)?.write_all(text.as_bytes());
    }
    let new = path.with_extension("pem.new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    open.open(&new)?.write_all(text.as_bytes())?;
    std::fs::rename(new, path)
}
