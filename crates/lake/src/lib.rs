//! Delta tables on object storage.
