//! System tables over the ledger.
