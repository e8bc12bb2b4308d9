//! The real npm clients, driven by the tests in `tests/js` against a started server.

use std::path::Path;
use std::process::Command;

use crate::error::Result;
use crate::report::Report;
use crate::server::{Server, Setup, Workspace};
use crate::tools;

pub(crate) fn run(binary: &Path, report: &mut Report) -> Result<()> {
    tools::need("node", "nodejs")?;
    tools::need("npm", "npm")?;
    let folder = tools::root().join("tests/js");
    let mut install = Command::new("npm");
    tools::run(install.current_dir(&folder).args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]))?;
    let mut workspace = Workspace::new("clients-")?;
    let server = Server::start(&Setup::new(binary, &workspace.path().join("server"))?)?;
    let mut counts = (0, 0);
    let mut node = Command::new("node");
    node.current_dir(&folder).env("COREWARD_URL", server.url()).args(["--test", "--test-reporter=tap"]);
    let is_good = tools::run_reading(&mut node, |line| {
        counts.0 += tap_count(line, "pass").unwrap_or_default();
        counts.1 += tap_count(line, "fail").unwrap_or_default();
    })?;
    report.add("npm clients", counts.0, counts.1);
    report.check("the npm clients' tests", is_good && counts.0 > 0, "see their output above");
    if !is_good {
        workspace.keep();
    }
    Ok(())
}

/// The number of the closing lines `# pass 12` and `# fail 0`.
fn tap_count(line: &str, word: &str) -> Option<usize> {
    line.strip_prefix("# ")?.strip_prefix(word)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_of_a_tap_report_are_read() {
        assert_eq!(tap_count("# pass 12", "pass"), Some(12));
        assert_eq!(tap_count("# fail 0", "fail"), Some(0));
        assert_eq!(tap_count("ok 1 - pass 3", "pass"), None);
    }
}
