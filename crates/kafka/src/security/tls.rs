//! TLS, by rustls: no library of the system is needed.

use std::path::Path;
use std::sync::Arc;

use flowline_model::KafkaTls;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::KafkaError;

/// Reads the certificates that brokers are held against.
///
/// # Errors
/// [`KafkaError::Settings`] when there are none.
pub(crate) fn connector(settings: &KafkaTls) -> Result<TlsConnector, KafkaError> {
    let roots = match &settings.ca_file {
        Some(path) => roots_in(path)?,
        None => roots_of_the_system()?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| KafkaError::Settings { reason: error.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots_in(path: &Path) -> Result<RootCertStore, KafkaError> {
    let unusable = |reason: String| KafkaError::Settings {
        reason: format!("the certificates in {} cannot be used: {reason}", path.display()),
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() { Err(unusable("there are none".to_owned())) } else { Ok(roots) }
}

fn roots_of_the_system() -> Result<RootCertStore, KafkaError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = "this machine has no root certificates; name a file of them: `ca_file`".to_owned();
        return Err(KafkaError::Settings { reason });
    }
    Ok(roots)
}

/// Begins TLS on a connection to this host.
pub(crate) async fn begin(
    connector: &TlsConnector,
    host: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    connector.connect(name, stream).await.map_err(|error| error.to_string())
}
