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
    /// That the schemas were not compared to the end, which takes more than so many steps.
    pub(crate) fn given_up(steps_max: usize) -> Self {
        let kind = "COMPARISON_GIVEN_UP";
        let sentence = format!(
            "Comparing the %s schema with the %s schema takes more than {steps_max} steps; use fewer alternatives, or set the compatibility of the subject to NONE"
        );
        let text = format!("{{errorType:'{kind}', description:'{sentence}'}}");
        Self { kind, path: String::new(), text }
    }

    /// The message, told of the schema that reads and the one that has written.
    pub(crate) fn told(&self, reader: &str, writer: &str) -> String {
        self.text.replacen("%s", reader, 1).replacen("%s", writer, 1)
    }
}
