//! The Rust files of the workspace, parsed: which functions there are, how long, and which lines are tests.

use std::ops::RangeInclusive;
use std::path::Path;

use syn::spanned::Spanned;
use syn::visit::Visit;

use crate::error::{CiError, Result};
use crate::tools;

pub(super) struct Source {
    /// From the root of the workspace.
    pub(super) path: String,
    pub(super) text: String,
    /// Of the product: neither `#[test]` nor inside `#[cfg(test)]`.
    pub(super) functions: Vec<Function>,
    test_lines: Vec<RangeInclusive<usize>>,
    /// The whole file is tests or an example.
    is_test_file: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) lines: usize,
}

impl Source {
    pub(super) fn parse(path: &str, text: String) -> std::result::Result<Self, syn::Error> {
        let file = syn::parse_file(&text)?;
        let mut walk = Walk::default();
        walk.visit_file(&file);
        let is_test_part = |part: &str| ["tests", "tests.rs", "examples", "benches"].contains(&part);
        let is_test_file = path.split('/').any(is_test_part);
        Ok(Self { path: path.to_owned(), text, functions: walk.functions, test_lines: walk.test_lines, is_test_file })
    }

    pub(super) fn is_test_file(&self) -> bool {
        self.is_test_file
    }

    /// The lines of the product with their numbers, comments included.
    pub(super) fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(number, _)| !self.is_test_file && !self.test_lines.iter().any(|range| range.contains(number)))
    }
}

/// Every Rust file of the workspace's packages; the fuzz targets are a workspace of their own but keep the same rules.
pub(super) fn all() -> Result<Vec<Source>> {
    let root = tools::root();
    let mut sources = Vec::new();
    for path in tools::files_below(&root, ".rs")? {
        let name = relative_to(&root, &path);
        let text = tools::read_text(&path)?;
        sources.push(Source::parse(&name, text).map_err(|error| CiError::format(&path, error))?);
    }
    Ok(sources)
}

fn relative_to(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

#[derive(Default)]
struct Walk {
    functions: Vec<Function>,
    test_lines: Vec<RangeInclusive<usize>>,
}

impl Walk {
    fn note(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (first, last) = (signature.span().start().line, block.span().end().line);
        self.functions.push(Function { name: signature.ident.to_string(), line: first, lines: last - first + 1 });
    }

    fn note_test(&mut self, item: &impl Spanned) {
        self.test_lines.push(item.span().start().line..=item.span().end().line);
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        match is_test(&item.attrs) {
            true => self.note_test(item),
            false => syn::visit::visit_item_mod(self, item),
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if is_test(&item.attrs) {
            return self.note_test(item);
        }
        self.note(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        match is_test(&item.attrs) {
            true => self.note_test(item),
            false => syn::visit::visit_item_impl(self, item),
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if is_test(&item.attrs) {
            return self.note_test(item);
        }
        self.note(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.note(&item.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_cfg_test = attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"));
        is_cfg_test || attribute.path().segments.last().is_some_and(|segment| segment.ident == "test")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "//! x\nfn one() {\n    two()\n}\nimpl X {\n    fn two() {}\n}\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn three() {\n    }\n}\n";

    #[test]
    fn functions_are_measured_and_tests_are_not() {
        let source = Source::parse("src/x.rs", TEXT.to_owned()).unwrap();
        let found: Vec<_> = source.functions.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(found, [("one", 2, 3), ("two", 6, 1)]);
    }

    #[test]
    fn the_lines_of_a_test_module_are_not_of_the_product() {
        let source = Source::parse("src/x.rs", TEXT.to_owned()).unwrap();
        assert_eq!(source.product_lines().count(), 7);
        assert_eq!(Source::parse("tests/x.rs", TEXT.to_owned()).unwrap().product_lines().count(), 0);
    }
}
