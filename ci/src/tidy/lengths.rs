//! Lengths of functions and files, and the figures that the style compares itself with.

use super::Finding;
use super::source::Source;

const FUNCTION_LINES_MAX: usize = 70;
/// Without the tests in it.
const FILE_LINES_MAX: usize = 800;

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test_file()) {
        for function in source.functions.iter().filter(|function| function.lines > FUNCTION_LINES_MAX) {
            let place = format!("{}:{}", source.path, function.line);
            let what =
                format!("`{}` has {} lines, more than {FUNCTION_LINES_MAX}: split it", function.name, function.lines);
            findings.push(Finding::new(place, what));
        }
        let lines = source.product_lines().count();
        if lines > FILE_LINES_MAX {
            let what = format!("{lines} lines without tests, more than {FILE_LINES_MAX}: split it by subject");
            findings.push(Finding::new(&source.path, what));
        }
    }
    findings
}

/// What the project's style aims at: median function 4-6 lines, 90 % under 35, 1-2 % over 70; median file 160-370 lines;
/// one line in five a comment.
pub(super) fn figures(sources: &[Source]) -> Vec<String> {
    let product: Vec<_> = sources.iter().filter(|source| !source.is_test_file()).collect();
    let mut functions: Vec<_> = product.iter().flat_map(|source| &source.functions).map(|one| one.lines).collect();
    let mut files: Vec<_> = product.iter().map(|source| source.product_lines().count()).collect();
    functions.sort_unstable();
    files.sort_unstable();
    let long = functions.iter().filter(|lines| **lines > FUNCTION_LINES_MAX).count();
    let lines = || product.iter().flat_map(|source| source.product_lines()).filter(|(_, line)| !line.trim().is_empty());
    let comments = lines().filter(|(_, line)| line.trim_start().starts_with("//")).count();
    vec![
        format!(
            "functions: {}, median {} lines, 90 % within {}, longest {}, over {FUNCTION_LINES_MAX}: {:.1} %",
            functions.len(),
            quantile(&functions, 50),
            quantile(&functions, 90),
            functions.last().copied().unwrap_or_default(),
            percent(long, functions.len()),
        ),
        format!(
            "files: {}, median {} lines, longest {}; comments: {:.1} % of {} lines",
            files.len(),
            quantile(&files, 50),
            files.last().copied().unwrap_or_default(),
            percent(comments, lines().count()),
            lines().count(),
        ),
    ]
}

fn quantile(sorted: &[usize], hundredths: usize) -> usize {
    sorted.get(sorted.len().saturating_sub(1) * hundredths / 100).copied().unwrap_or_default()
}

fn percent(part: usize, whole: usize) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, body_lines: usize) -> Source {
        Source::parse(path, format!("fn long() {{\n{}}}\n", "    x();\n".repeat(body_lines))).unwrap()
    }

    #[test]
    fn a_function_of_71_lines_is_found_and_one_of_70_is_not() {
        assert_eq!(check(&[source("a.rs", 68)]), []);
        assert_eq!(check(&[source("a.rs", 69)]).len(), 1);
    }

    #[test]
    fn a_long_file_is_found_but_not_a_long_test() {
        assert_eq!(check(&[source("a.rs", 900)]).len(), 2);
        assert_eq!(check(&[source("tests/a.rs", 900)]), []);
    }

    #[test]
    fn quantiles_of_a_sorted_list() {
        let list: Vec<_> = (1..=101).collect();
        assert_eq!((quantile(&list, 50), quantile(&list, 90), quantile(&[], 50)), (51, 91, 0));
    }
}
