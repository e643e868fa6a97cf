//! Puts the roles together.
