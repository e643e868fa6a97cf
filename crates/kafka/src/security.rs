//! Who the broker is, and who we are.

pub(crate) mod sasl;
mod scram;
pub(crate) mod tls;
