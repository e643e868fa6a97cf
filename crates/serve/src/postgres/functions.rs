//! Functions of PostgreSQL that tools call when they look around, and that have one answer here whatever is asked:
//! whether something is visible, what an index was made from. Those with an answer of their own are elsewhere.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::settings::{Settings, without_effect};
use super::startup::VERSION_TEXT;

/// What the functions with one answer are called, by answer.
const TRUE: [&str; 9] = [
    "has_column_privilege",
    "has_function_privilege",
    "has_sequence_privilege",
    "pg_collation_is_visible",
    "pg_function_is_visible",
    "pg_opclass_is_visible",
    "pg_operator_is_visible",
    "pg_ts_config_is_visible",
    "pg_type_is_visible",
];
const FALSE: [&str; 2] = ["pg_is_in_recovery", "pg_is_other_temp_schema"];
const NO_TEXT: [&str; 15] = [
    "col_description",
    "json_build_object",
    "obj_description",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_result",
    "pg_get_functiondef",
    "pg_get_indexdef",
    "pg_get_ruledef",
    "pg_get_serial_sequence",
    "pg_get_triggerdef",
    "pg_get_viewdef",
    "pg_size_pretty",
    "pg_tablespace_location",
    "shobj_description",
];
const ZERO: [&str; 5] =
    ["pg_database_size", "pg_indexes_size", "pg_my_temp_schema", "pg_table_size", "txid_current"];

/// The functions with one answer.
pub(super) fn constants() -> Vec<ScalarUDF> {
    let of = |names: &[&'static str], answer: ScalarValue| {
        names.iter().map(|name| Constant::function(name, answer.clone())).collect::<Vec<_>>()
    };
    let mut functions = of(&TRUE, ScalarValue::Boolean(Some(true)));
    functions.extend(of(&FALSE, ScalarValue::Boolean(Some(false))));
    functions.extend(of(&NO_TEXT, ScalarValue::Utf8(None)));
    functions.extend(of(&ZERO, ScalarValue::Int64(Some(0))));
    functions.extend(of(&["to_regtype"], ScalarValue::Int32(None)));
    functions.extend(of(&["version"], ScalarValue::Utf8(Some(VERSION_TEXT.to_owned()))));
    functions
}

/// A function that answers the same whatever it is given.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    answer: ScalarValue,
    signature: Signature,
}

impl Constant {
    fn function(name: &'static str, answer: ScalarValue) -> ScalarUDF {
        let any = datafusion::logical_expr::TypeSignature::OneOf(vec![
            datafusion::logical_expr::TypeSignature::Nullary,
            datafusion::logical_expr::TypeSignature::VariadicAny,
        ]);
        ScalarUDF::new_from_impl(Self { name, answer, signature: Signature::new(any, Volatility::Stable) })
    }
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.answer.data_type())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.answer.clone()))
    }
}

/// `current_setting(name)` and `current_setting(name, missing_ok)` over the settings of a session as they are now.
pub(super) fn current_setting(settings: &Settings) -> ScalarUDF {
    let settings: Arc<[(String, String)]> =
        settings.all().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    ScalarUDF::new_from_impl(CurrentSetting {
        settings,
        signature: Signature::variadic_any(Volatility::Stable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CurrentSetting {
    settings: Arc<[(String, String)]>,
    signature: Signature,
}

impl ScalarUDFImpl for CurrentSetting {
    fn name(&self) -> &str {
        "current_setting"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let asked = match arguments.args.first() {
            Some(ColumnarValue::Scalar(name)) => name.try_as_str().flatten().map(str::to_ascii_lowercase),
            _ => None,
        };
        let name = asked
            .ok_or_else(|| DataFusionError::Plan("current_setting takes the name of a setting".to_owned()))?;
        let value = self.settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8(value)))
    }
}

/// `set_config(name, value, local)` for the settings that have no effect here; it answers the value, as if it had set
/// it. Those that have an effect are set by SET.
pub(super) fn set_config() -> ScalarUDF {
    ScalarUDF::new_from_impl(SetConfig { signature: Signature::any(3, Volatility::Volatile) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SetConfig {
    signature: Signature,
}

impl ScalarUDFImpl for SetConfig {
    fn name(&self) -> &str {
        "set_config"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (name, value) = (text(&arguments, 0)?, text(&arguments, 1)?);
        if !without_effect(&name) {
            return Err(DataFusionError::Plan(format!("`{name}` is not set by a function here: use SET")));
        }
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(value))))
    }
}

/// An argument that is written as text.
fn text(arguments: &ScalarFunctionArgs, index: usize) -> Result<String> {
    match arguments.args.get(index) {
        Some(ColumnarValue::Scalar(value)) => value.try_as_str().flatten().map(str::to_owned),
        _ => None,
    }
    .ok_or_else(|| DataFusionError::Plan("the name and the value of a setting are text".to_owned()))
}
