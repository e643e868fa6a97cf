//! Connectors: how records enter.
