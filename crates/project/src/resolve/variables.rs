//! `${NAME}` and `${NAME:-otherwise}` in the values of an environment.

use crate::diagnostic::Code;
use crate::sources::Problem;

/// Where the values of variables come from.
#[derive(Clone, Copy)]
pub(crate) struct Variables<'a> {
    pub value_of: &'a dyn Fn(&str) -> Option<String>,
}

impl Variables<'_> {
    /// The text with its variables replaced. `$${` stands for `${`. A variable that is set to nothing counts as not
    /// set where there is an `otherwise`.
    pub fn expand(&self, text: &str) -> Result<String, Problem> {
        let (mut expanded, mut rest) = (String::new(), text);
        while let Some(index) = rest.find("${") {
            if let Some(before) = rest[..index].strip_suffix('$') {
                expanded.push_str(before);
                expanded.push_str("${");
                rest = &rest[index + 2..];
                continue;
            }
            expanded.push_str(&rest[..index]);
            let Some((inside, behind)) = rest[index + 2..].split_once('}') else {
                let problem = Problem::error(Code::InvalidValue, "`${` has no `}`");
                return Err(problem.hint("write `$${` for a plain `${`"));
            };
            expanded.push_str(&self.value(inside)?);
            rest = behind;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn value(&self, inside: &str) -> Result<String, Problem> {
        let (name, otherwise) = match inside.split_once(":-") {
            Some((name, otherwise)) => (name, Some(otherwise)),
            None => (inside, None),
        };
        let valid = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !valid {
            let problem =
                Problem::error(Code::InvalidValue, format!("`{name}` is not the name of a variable"));
            return Err(problem.hint("write `${NAME}` or `${NAME:-otherwise}`"));
        }
        let set = (self.value_of)(name).filter(|value| otherwise.is_none() || !value.is_empty());
        set.or_else(|| otherwise.map(str::to_owned)).ok_or_else(|| {
            Problem::error(Code::MissingVariable, format!("the environment variable `{name}` is not set"))
                .hint(format!("set it, or give a default: `${{{name}:-…}}`"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, String> {
        let value_of = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        Variables { value_of: &value_of }.expand(text).map_err(|problem| problem.message)
    }

    #[test]
    fn variables_are_replaced() {
        for (text, expanded) in [
            ("", ""),
            ("x", "x"),
            ("${A}", "1"),
            ("a${A}b${A}", "a1b1"),
            ("${B:-2}", "2"),
            ("${B:-}", ""),
            ("${EMPTY}", ""),
            ("${EMPTY:-3}", "3"),
            ("$${A}", "${A}"),
            ("$A $", "$A $"),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(expanded), "{text}");
        }
        for text in ["${B}", "${A", "${}", "${a b}", "${1}"] {
            assert!(expand(text).is_err(), "{text}");
        }
    }
}
