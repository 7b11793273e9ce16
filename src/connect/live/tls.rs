//! TLS with the server's certificate verified; there is no switch to turn that off.
//!
//! Which certificates count: those in the file that the user names, otherwise the system's bundle, at `SSL_CERT_FILE` or where
//! the distributions keep it.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use ticktide_base::environment;
use ticktide_base::error::Error;

/// Bundles of Debian, Fedora, SUSE, Alpine and macOS.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/openssl/cert.pem",
];

/// What a client needs to verify a server. Errors: there are no certificates to verify it with.
pub fn client(authorities: Option<&Path>) -> Result<ClientConfig, Error> {
    // another part of the process may have installed it already: it is the only provider that is built in
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bundle = match authorities {
        Some(path) => path.to_owned(),
        None => system().ok_or_else(|| {
            let hint = "install the package ca-certificates, or name a file of certificates with `--ca`";
            Error::fix("the system has no bundle of certificates to verify a server with", hint)
        })?,
    };
    let wrong = |why: String| {
        Error::fix(format!("certificates {}: {why}", bundle.display()), "give `--ca` a file of PEM certificates")
    };
    let pem = std::fs::read(&bundle).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let found: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found);
    if taken == 0 {
        return Err(wrong("it contains no certificate".into()));
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn system() -> Option<PathBuf> {
    let named = environment::variable(environment::CERTIFICATES).map(PathBuf::from);
    named.into_iter().chain(BUNDLES.iter().map(PathBuf::from)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_the_users_to_mend() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        assert!(client(Some(&path)).expect_err("no file").message.contains("cannot be read"));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("written");
        let error = client(Some(&path)).expect_err("no certificate");
        assert!(error.message.contains("contains no certificate") && error.hint.is_some(), "{error}");
    }
}
