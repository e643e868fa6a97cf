//! Windows of event time: which windows a time lies in, and the SQL functions that tell it.
//!
//! Owns: the arithmetic ([`WindowSpec`]) and the functions that the window table functions of Flink are written with
//! (`sql::windows` writes them into queries). Windows are `[start, end)`, aligned to the epoch plus an offset, with a
//! floor that also holds before 1970. Pure; knows neither tables nor watermarks.

mod functions;
mod session;
mod session_exec;
mod spec;

use std::sync::Arc;

use datafusion::execution::FunctionRegistry;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{ScalarUDF, WindowUDF};

pub(crate) use functions::{
    CLOSING, CUMULATE_ENDS, HOP_STARTS, TUMBLE_START, WINDOW_END, WINDOW_TIME, WindowFunction,
};
pub(crate) use session::{SESSION_END, SESSION_START, SessionBound};
pub(crate) use session_exec::TellSessionsUnsorted;
pub(crate) use spec::{WindowKind, WindowSpec};

/// Makes the functions known to a session.
pub(crate) fn register(state: &mut SessionState) {
    for function in WindowFunction::all() {
        // A function of that name is replaced; there is none of ours yet.
        let _ = state.register_udf(Arc::new(ScalarUDF::from(function)));
    }
    for bound in SessionBound::all() {
        let _ = state.register_udwf(Arc::new(WindowUDF::from(bound)));
    }
}
