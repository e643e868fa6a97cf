//! User files → validated, versioned plan.
