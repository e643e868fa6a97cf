//! One Rust file: its functions, its calls, and which of its lines are tests.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A Rust file, read.
#[derive(Debug, Default)]
pub struct Source {
    /// From the root of the repository.
    pub path: String,
    /// Its lines.
    pub lines: Vec<String>,
    /// Whether all of it is a test.
    pub is_test: bool,
    /// Its functions with a body, outside of tests.
    pub functions: Vec<Function>,
    /// What it calls, outside of tests.
    pub calls: Vec<Call>,
    /// How many of its lines are tests.
    pub test_lines: usize,
    /// Why it cannot be read.
    pub broken: Option<String>,
}

/// A function with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub line: usize,
    /// From the first word of its signature to its last brace.
    pub lines: usize,
}

/// A path or a macro that is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `a::b::c`, or `name!`.
    pub path: String,
    pub line: usize,
}

impl Source {
    /// Reads a file.
    pub fn new(path: &str, text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let is_test = is_test_path(path);
        let mut source = Self { path: path.to_owned(), lines, is_test, ..Self::default() };
        match syn::parse_file(text) {
            Ok(_) if is_test => source.test_lines = source.lines.len(),
            Ok(file) => {
                let mut reader = Reader::default();
                reader.visit_file(&file);
                (source.functions, source.calls) = (reader.functions, reader.calls);
                source.test_lines = reader.test_lines;
            }
            Err(error) => source.broken = Some(format!("line {}: {error}", error.span().start().line)),
        }
        source
    }

    /// Lines without tests.
    pub fn body_lines(&self) -> usize {
        self.lines.len() - self.test_lines.min(self.lines.len())
    }

    /// The reason given on this line, or in the comment right above it, for being the exception to a rule.
    pub fn allowance(&self, word: &str, line: usize) -> Option<&str> {
        let marker = format!("tidy: allow({word}):");
        let above = self.lines[..line.saturating_sub(1).min(self.lines.len())].iter().rev();
        let comment = above.take_while(|text| text.trim_start().starts_with("//"));
        let here = self.lines.get(line.checked_sub(1)?);
        here.into_iter().chain(comment).find_map(|text| {
            let (_, reason) = text.split_once(&marker)?;
            Some(reason.trim()).filter(|reason| !reason.is_empty())
        })
    }

    /// The lines of the comment at the top.
    pub fn header(&self) -> Vec<&str> {
        let lines = self.lines.iter().map(String::as_str);
        lines.take_while(|line| line.starts_with("//!")).map(|line| line[3..].trim()).collect()
    }
}

/// Files of tests: integration tests, benches, and modules that are named for it.
fn is_test_path(path: &str) -> bool {
    let mut parts = path.split('/').skip(2).peekable();
    let first = parts.peek().copied().unwrap_or_default();
    let named = path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("/testing/");
    matches!(first, "tests" | "benches" | "fuzz" | "examples") || named
}

#[derive(Default)]
struct Reader {
    functions: Vec<Function>,
    calls: Vec<Call>,
    test_lines: usize,
}

impl Reader {
    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (start, end) = (signature.span().start().line, block.span().end().line);
        self.functions.push(Function {
            name: signature.ident.to_string(),
            line: start,
            lines: end + 1 - start,
        });
    }

    /// Counts an item as a test and passes over it.
    fn pass_over(&mut self, item: &impl Spanned) {
        let span = item.span();
        self.test_lines += span.end().line + 1 - span.start().line;
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes: &[syn::Attribute] = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if attributes.iter().any(is_test_attribute) {
            self.pass_over(item);
        } else {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.calls.push(Call { path: joined(path), line: path.span().start().line });
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let name = joined(&call.path);
        self.calls.push(Call { path: format!("{name}!"), line: call.path.span().start().line });
        // What stands inside a macro is not parsed, but most of it is expressions, with their places in the file.
        let parser = syn::punctuated::Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
        if let Ok(expressions) = call.parse_body_with(parser) {
            let mut inner = Reader::default();
            expressions.iter().for_each(|expression| inner.visit_expr(expression));
            self.calls.append(&mut inner.calls);
        }
    }
}

fn joined(path: &syn::Path) -> String {
    let parts: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    parts.join("::")
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]`, `#[cfg(any(test, …))]`.
fn is_test_attribute(attribute: &syn::Attribute) -> bool {
    let path = joined(attribute.path());
    if path == "test" || path.ends_with("::test") {
        return true;
    }
    if path != "cfg" {
        return false;
    }
    let syn::Meta::List(list) = &attribute.meta else { return false };
    let text = list.tokens.to_string();
    text == "test" || text.starts_with("all (test") || text.starts_with("all(test")
}
