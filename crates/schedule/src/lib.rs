//! Desired plan against recorded facts → the next run; pure.
