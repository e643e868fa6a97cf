//! Contract rules on record batches; pure.
