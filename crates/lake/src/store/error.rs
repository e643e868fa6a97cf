//! Errors of the layers below, told apart by what to do about them.

use std::error::Error;
use std::io;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use object_store::Error as StoreError;
use parquet::errors::ParquetError;

use crate::LakeError;

/// What an error is about, whichever layer it came through.
enum Cause {
    NotFound,
    Denied,
    Full,
    Passing,
    Damaged,
    Defect,
}

/// An error of the object store.
pub(crate) fn from_store(action: &'static str, path: String, error: &StoreError) -> LakeError {
    let reason = words(error);
    match cause_of_store(error) {
        Cause::NotFound => LakeError::NotFound { what: "the file".into(), place: path },
        Cause::Denied => LakeError::Denied { action, path, reason },
        Cause::Full => LakeError::StorageFull { action, path, reason },
        Cause::Passing => LakeError::Transient { action, path, reason },
        Cause::Damaged => LakeError::Corrupt { path, reason },
        Cause::Defect => LakeError::Internal { action, place: path, reason },
    }
}

/// An error of the file system.
pub(crate) fn from_io(action: &'static str, path: String, error: io::Error) -> LakeError {
    match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            LakeError::Settings { reason: format!("{action} `{path}`: {error}") }
        }
        _ => from_store(action, path, &StoreError::Generic { store: "file", source: Box::new(error) }),
    }
}

/// An error while reading or writing Parquet.
pub(crate) fn from_parquet(action: &'static str, path: String, error: &ParquetError) -> LakeError {
    if let Some(inner) = find::<StoreError>(error) {
        return from_store(action, path, inner);
    }
    LakeError::Corrupt { path, reason: words(error) }
}

/// An error while converting columns.
pub(crate) fn from_arrow(action: &'static str, place: String, error: &ArrowError) -> LakeError {
    LakeError::Internal { action, place, reason: words(error) }
}

/// An error while DataFusion read a table's files.
pub(crate) fn from_datafusion(action: &'static str, place: String, error: &DataFusionError) -> LakeError {
    if let Some(known) = in_query(error) {
        return known;
    }
    if find::<ParquetError>(error).is_some() {
        return LakeError::Corrupt { path: place, reason: words(error) };
    }
    LakeError::Internal { action, place, reason: words(error) }
}

/// The lake's part in the failure of a query, if it has one.
pub(crate) fn in_query(error: &DataFusionError) -> Option<LakeError> {
    if let Some(known) = find::<LakeError>(error) {
        return Some(known.clone());
    }
    find::<StoreError>(error).map(|error| match error {
        StoreError::NotFound { path, .. } => missing_file(path),
        StoreError::PermissionDenied { path, .. } | StoreError::Unauthenticated { path, .. } => {
            from_store("reading", path.clone(), error)
        }
        _ => from_store("reading", "a table".to_owned(), error),
    })
}

/// A table's log names a file that is not there.
pub(crate) fn missing_file(path: &str) -> LakeError {
    LakeError::Corrupt {
        path: path.to_owned(),
        reason: "the table's log names it and it is gone; restore it or replay".into(),
    }
}

fn cause_of_store(error: &StoreError) -> Cause {
    match error {
        StoreError::NotFound { .. } => Cause::NotFound,
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => Cause::Denied,
        StoreError::AlreadyExists { .. }
        | StoreError::Precondition { .. }
        | StoreError::NotModified { .. } => Cause::Passing,
        StoreError::InvalidPath { .. }
        | StoreError::NotSupported { .. }
        | StoreError::NotImplemented { .. } => Cause::Defect,
        StoreError::UnknownConfigurationKey { .. } | StoreError::JoinError { .. } => Cause::Defect,
        other => find::<io::Error>(other).map_or(Cause::Passing, cause_of_io),
    }
}

fn cause_of_io(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::NotFound => Cause::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Cause::Denied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Cause::Full,
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Cause::Damaged,
        // EIO: the disk could not read or write what it holds.
        _ if error.raw_os_error() == Some(5) => Cause::Damaged,
        _ => Cause::Passing,
    }
}

/// The first error of this type in the chain of causes.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        next = inner(current);
    }
    None
}

/// The cause of an error; unlike `source`, also through the wrapper that hides its own.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(outer) => outer.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}

fn words(error: &(dyn Error + 'static)) -> String {
    flowline_base::chain(error)
}
