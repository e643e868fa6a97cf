//! How written values stand in the structs of the files, and in their JSON Schemas.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_json::Value;

use super::{Lexical, OR_VARIABLE};

/// A value that is read at once.
pub(crate) struct Written<T: Lexical>(pub T::Meaning);

/// A value that may refer to environment variables and is read when those are known.
pub(crate) struct Variable<T: Lexical> {
    pub text: String,
    kind: PhantomData<T>,
}

/// The items of a list that could be read, each with its index in the file.
pub(crate) struct Items<T>(pub Vec<(usize, T)>);

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Texts, and numbers where the schema allows them, as text.
struct Scalar;

impl Visitor<'_> for Scalar {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a whole number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }
}

impl<'de, T: Lexical> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(Scalar)?;
        T::read(&text).map(Self).map_err(|unreadable| de::Error::custom(unreadable.explain::<T>(&text).0))
    }
}

impl<'de, T: Lexical> Deserialize<'de> for Variable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar).map(|text| Self { text, kind: PhantomData })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = Vec::<Option<T>>::deserialize(deserializer)?;
        Ok(Self(items.into_iter().enumerate().filter_map(|(index, item)| Some((index, item?))).collect()))
    }
}

fn schema<T: Lexical>(format: String) -> Schema {
    let types = match T::TYPES {
        [one] => Value::from(*one),
        several => Value::from(several),
    };
    let mut schema = json_schema!({ "type": types, "format": format, "examples": T::EXAMPLES });
    if let Some(minimum) = T::MINIMUM {
        schema.insert("minimum".to_owned(), minimum.into());
    }
    schema
}

impl<T: Lexical> JsonSchema for Written<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::FORMAT.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema::<T>(T::FORMAT.to_owned())
    }
}

impl<T: Lexical> JsonSchema for Variable<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}{OR_VARIABLE}", T::FORMAT).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema::<T>(format!("{}{OR_VARIABLE}", T::FORMAT))
    }
}

impl<T: JsonSchema> JsonSchema for Items<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Vec::<T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<T>::json_schema(generator)
    }
}
