//! The server's certificate, which is reloaded when its files change.

use super::setting::BadSetting;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};
use tokio_rustls::rustls::{
    self,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// The source of PEM text: base64 in the variable, as in the original, or a file that the variable names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pem {
    Inline(Vec<u8>),
    File(PathBuf),
}

impl Pem {
    fn from_setting(name: &'static str, value: &str) -> Result<Self, BadSetting> {
        // The base64 of the five dashes that begin PEM text. A path is unlikely to begin with it.
        if !value.starts_with("LS0tLS") {
            return Ok(Self::File(value.into()));
        }
        let compact: String = value.split_whitespace().collect();
        let bytes = STANDARD.decode(compact);
        bytes.map(Self::Inline).map_err(|_| BadSetting { name, problem: "is not base64".into() })
    }

    fn read(&self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Inline(text) => Ok(text.clone()),
            Self::File(path) => std::fs::read(path),
        }
    }

    /// Returns the modification time of a file.
    fn modified(&self) -> Option<SystemTime> {
        match self {
            Self::Inline(_) => None,
            Self::File(path) => std::fs::metadata(path).and_then(|meta| meta.modified()).ok(),
        }
    }
}

/// The sources of a certificate chain and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSource {
    certificate: Pem,
    key: Pem,
}

impl TlsSource {
    /// Reads both settings, or returns `None` if neither is set. One setting alone is an error, so that a server never
    /// serves plain HTTP by mistake.
    pub(super) fn from_settings(certificate: Option<String>, key: Option<String>) -> Result<Option<Self>, BadSetting> {
        let missing = |name| Err(BadSetting { name, problem: "is not set, but its counterpart is".into() });
        match (certificate, key) {
            (None, None) => Ok(None),
            (None, Some(_)) => missing("TLS_CERTIFICATE"),
            (Some(_), None) => missing("TLS_KEY"),
            (Some(certificate), Some(key)) => Ok(Some(Self {
                certificate: Pem::from_setting("TLS_CERTIFICATE", &certificate)?,
                key: Pem::from_setting("TLS_KEY", &key)?,
            })),
        }
    }

    /// Returns a source with a certificate file and a key file.
    pub fn files(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: Pem::File(certificate.into()), key: Pem::File(key.into()) }
    }

    /// Reads the certificate and the key, and checks that they match.
    fn load(&self) -> Result<CertifiedKey, BadSetting> {
        let bad = |name, problem: String| BadSetting { name, problem };
        let text =
            self.certificate.read().map_err(|error| bad("TLS_CERTIFICATE", format!("cannot be read: {error}")))?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).collect();
        if chain.is_empty() {
            return Err(bad("TLS_CERTIFICATE", "holds no certificate".into()));
        }
        let text = self.key.read().map_err(|error| bad("TLS_KEY", format!("cannot be read: {error}")))?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| bad("TLS_KEY", "holds no private key".into()))?;
        let signer = aws_lc_rs::sign::any_supported_type(&key)
            .map_err(|_| bad("TLS_KEY", "holds a private key of an unknown kind".into()))?;
        let certified = CertifiedKey::new(chain, signer);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
            Err(_) => Err(bad("TLS_KEY", "does not belong to TLS_CERTIFICATE".into())),
        }
    }

    /// Returns the modification times of the files.
    fn modified(&self) -> [Option<SystemTime>; 2] {
        [self.certificate.modified(), self.key.modified()]
    }
}

/// The certificate in use, with the modification times of its files.
#[derive(Debug)]
pub(super) struct Certificate {
    source: TlsSource,
    current: RwLock<(Arc<CertifiedKey>, [Option<SystemTime>; 2])>,
}

impl Certificate {
    /// Loads a certificate.
    pub fn load(source: TlsSource) -> Result<Arc<Self>, BadSetting> {
        let modified = source.modified();
        let certified = Arc::new(source.load()?);
        Ok(Arc::new(Self { source, current: RwLock::new((certified, modified)) }))
    }

    /// Reloads the files if they have changed. Returns `None` if they have not. After an error, the old certificate
    /// stays.
    pub fn reload(&self) -> Option<Result<(), BadSetting>> {
        let modified = self.source.modified();
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.1 == modified {
            return None;
        }
        current.1 = modified;
        Some(self.source.load().map(|certified| current.0 = Arc::new(certified)))
    }

    /// Returns the configuration of TLS 1.2 and 1.3 for HTTP/1.1.
    pub fn server_config(self: &Arc<Self>) -> Result<rustls::ServerConfig, rustls::Error> {
        let mut config = rustls::ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone())
    }
}
