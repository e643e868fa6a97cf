//! Deterministic inputs and fault injection for tests.
