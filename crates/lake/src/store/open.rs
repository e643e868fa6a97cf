//! Opening object storage by URL.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flowline_base::Backoff;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme, RetryConfig};
use url::Url;

use super::Store;
use super::durable::DurableFiles;
use super::faulty::FaultyStore;
use crate::LakeError;
use crate::faults::FaultInjector;

/// Opens the folder at a URL or an absolute path. Options are keyed as `object_store` names them; what they do not say
/// is taken from the environment (`AWS_…`, `GOOGLE_…`, `AZURE_…`).
pub(crate) fn open(
    location: &str,
    options: &BTreeMap<String, String>,
    faults: Option<&Arc<dyn FaultInjector>>,
    retry: Backoff,
) -> Result<Store, LakeError> {
    let url = parse(location)?;
    let (scheme, folder) = ObjectStoreScheme::parse(&url).map_err(|error| LakeError::Settings {
        reason: format!("`{}` is on no storage that is known: {error}", without_password(&url)),
    })?;
    let folder = if scheme == ObjectStoreScheme::Local { local_folder(&url)? } else { folder };
    let mut objects = connect(&scheme, &url, options)?;
    if let Some(faults) = faults {
        objects = Arc::new(FaultyStore::new(objects, Arc::clone(faults)));
    }
    Ok(Store { objects, folder, url: without_password(&url), retry })
}

fn parse(location: &str) -> Result<Url, LakeError> {
    let wrong =
        |reason: String| LakeError::Settings { reason: format!("`{location}` is not a location: {reason}") };
    if location.starts_with('/') {
        return Url::from_directory_path(location).map_err(|()| wrong("not an absolute path".into()));
    }
    Url::parse(location)
        .map_err(|error| wrong(format!("{error}; use an absolute path or a URL such as s3://bucket/folder")))
}

/// The URL as it may be shown: the password is gone, a user name stays (Azure writes the container there).
fn without_password(url: &Url) -> Url {
    let mut url = url.clone();
    let _ = url.set_password(None);
    url.set_query(None);
    url
}

/// Symbolic links are resolved, so that one folder has one path.
fn local_folder(url: &Url) -> Result<Path, LakeError> {
    let wrong = |reason: String| LakeError::Settings { reason: format!("`{url}` is not a folder: {reason}") };
    let path = url.to_file_path().map_err(|()| wrong("not a path of this machine".into()))?;
    let path = path.canonicalize().unwrap_or(path);
    Path::from_absolute_path(path).map_err(|error| wrong(error.to_string()))
}

fn connect(
    scheme: &ObjectStoreScheme,
    url: &Url,
    options: &BTreeMap<String, String>,
) -> Result<Arc<dyn ObjectStore>, LakeError> {
    // Four tries within half a minute: a fault that lasts longer is told to whoever waits, not hidden from them.
    let retry =
        RetryConfig { max_retries: 4, retry_timeout: Duration::from_secs(30), ..RetryConfig::default() };
    let broken = |error: object_store::Error| LakeError::Settings { reason: flowline_base::chain(&error) };
    macro_rules! build {
        ($builder:expr) => {{
            let mut builder = $builder.with_retry(retry);
            for (key, value) in options {
                let key = key.to_ascii_lowercase().parse().map_err(|_| unknown_option(key))?;
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.build().map_err(broken)?)
        }};
    }
    Ok(match scheme {
        ObjectStoreScheme::Local => Arc::new(DurableFiles::new()),
        ObjectStoreScheme::Memory => Arc::new(InMemory::new()),
        ObjectStoreScheme::AmazonS3 => build!(AmazonS3Builder::from_env().with_url(url.as_str())),
        ObjectStoreScheme::GoogleCloudStorage => {
            build!(GoogleCloudStorageBuilder::from_env().with_url(url.as_str()))
        }
        ObjectStoreScheme::MicrosoftAzure => build!(MicrosoftAzureBuilder::from_env().with_url(url.as_str())),
        ObjectStoreScheme::Http => build!(HttpBuilder::new().with_url(&url[..url::Position::BeforePath])),
        other => return Err(LakeError::Settings { reason: format!("storage {other:?} is not supported") }),
    })
}

fn unknown_option(key: &str) -> LakeError {
    LakeError::Settings { reason: format!("the storage has no option `{key}`") }
}
