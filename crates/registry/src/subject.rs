//! Names of subjects. `:.context:name` is a name in a context of its own, with its own identifiers.

use crate::RegistryError;

/// The context of names that say none.
pub(crate) const DEFAULT_CONTEXT: &str = ".";

/// The longest name, bytes.
const NAME_BYTES_MAX: usize = 1_000;

/// Refuses what cannot be a subject.
pub(crate) fn check(subject: &str) -> Result<(), RegistryError> {
    let (_, name) = split(subject);
    let reserved = matches!(name, "__GLOBAL" | "__EMPTY");
    if name.is_empty() || reserved || subject.len() > NAME_BYTES_MAX || subject.chars().any(char::is_control)
    {
        let message = format!("The specified subject '{}' is not a valid subject.", subject.escape_debug());
        return Err(RegistryError::refused(42208, message));
    }
    Ok(())
}

/// The name without the context that says nothing: `:.:orders` is `orders`.
pub(crate) fn normalized(subject: &str) -> &str {
    subject.strip_prefix(":.:").filter(|name| !name.is_empty()).unwrap_or(subject)
}

/// The context and the name in it.
pub(crate) fn split(subject: &str) -> (&str, &str) {
    let qualified = subject.strip_prefix(':').filter(|rest| rest.starts_with('.'));
    qualified.and_then(|rest| rest.split_once(':')).unwrap_or((DEFAULT_CONTEXT, subject))
}

/// The context.
pub(crate) fn context(subject: &str) -> &str {
    split(subject).0
}

/// A name as seen from another subject: in the same context where it says none.
pub(crate) fn beside(subject: &str, name: &str) -> String {
    match split(subject).0 {
        DEFAULT_CONTEXT => normalized(name).to_owned(),
        _ if name.starts_with(":.") => normalized(name).to_owned(),
        context => format!(":{context}:{name}"),
    }
}

/// What settings of a whole context are kept under.
pub(crate) fn context_scope(subject: &str) -> String {
    scope(context(subject))
}

/// What stands before the names of a context.
pub(crate) fn scope(context: &str) -> String {
    match context {
        DEFAULT_CONTEXT => String::new(),
        context => format!(":{context}:"),
    }
}
