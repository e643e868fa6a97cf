//! What two schemas differ in, where it matters.

/// One thing that keeps a schema from reading what another one has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The word for it, as registries have it.
    pub(crate) kind: &'static str,
    /// Where.
    pub(crate) path: String,
    /// The message; `%s` stands for `new` and `old`, in this order when the new schema is the one that reads.
    pub(crate) text: String,
}

impl Difference {
    /// The message, told of the schema that reads and the one that has written.
    pub(crate) fn told(&self, reader: &str, writer: &str) -> String {
        self.text.replacen("%s", reader, 1).replacen("%s", writer, 1)
    }
}
