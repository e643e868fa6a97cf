//! Log → raw table, contract enforcement, quarantine.
