//! Expressions in the form in which they are evaluated.

use std::sync::Arc;

use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;

/// Makes an expression ready. It is simplified first, as those of queries are: some functions (`coalesce`, `nvl`) are nothing
/// but another way to write an expression, and cannot be called.
///
/// # Errors
/// Types that do not fit, and constants that cannot be computed.
pub(crate) fn physical(
    context: &SessionContext,
    expression: Expr,
    schema: &DFSchema,
) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let state = context.state();
    let settings = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(Arc::clone(state.config_options()))
        .build();
    let simplifier = ExprSimplifier::new(settings);
    let expression = simplifier.coerce(expression, schema)?;
    state.create_physical_expr(simplifier.simplify(expression)?, schema)
}
