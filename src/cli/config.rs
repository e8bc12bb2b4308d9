//! `coreward config show|check|keys [--config FILE] [--key:sub=value]`

use std::io::{self, Write};
use std::path::Path;

use crate::config::{self, Args};

const USAGE: &str = "usage: coreward config show|check|keys [--config FILE] [--key:sub=value]...";
const EXIT_OK: u8 = 0;
const EXIT_INVALID: u8 = 1;
const EXIT_USAGE: u8 = 2;

/// `words` is what follows `config` on the command line, without options. Returns the exit code.
pub(crate) fn run(
    words: &[String],
    args: &Args,
    env: impl Iterator<Item = (String, String)>,
    cwd: &Path,
    out: &mut dyn Write,
) -> io::Result<u8> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words == ["keys"] {
        write!(out, "{}", config::markdown())?;
        return Ok(EXIT_OK);
    }
    let loaded = config::load(args, env, cwd);
    let valid = match (words.as_slice(), &loaded) {
        (["check"], _) => config::check(&loaded, out)?,
        (["show"], Ok(config)) => {
            config::show(config, out)?;
            true
        }
        (["show"], Err(errors)) => {
            writeln!(out, "{errors}")?;
            false
        }
        _ => {
            writeln!(out, "{USAGE}")?;
            return Ok(EXIT_USAGE);
        }
    };
    Ok(if valid { EXIT_OK } else { EXIT_INVALID })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_in_nowhere(words: &[&str], overrides: &[(&str, &str)]) -> (u8, String) {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let overrides = overrides.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let args = Args { config_file: None, overrides };
        let mut out = Vec::new();
        let code = run(&words, &args, std::iter::empty(), Path::new("/nonexistent"), &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn show_prints_values_and_check_says_valid() {
        let (code, text) = run_in_nowhere(&["show"], &[("http:port", "3210")]);
        assert_eq!(code, EXIT_OK);
        assert!(text.contains("http:port = 3210    (argument --http:port)\n"), "{text}");
        let (code, text) = run_in_nowhere(&["check"], &[("cluster:apiWorkers", "4")]);
        assert_eq!(code, EXIT_OK);
        assert!(text.contains("  cluster:apiWorkers: cluster.shards decides"), "{text}");
    }

    #[test]
    fn keys_prints_the_table_even_when_the_configuration_is_wrong() {
        let (code, text) = run_in_nowhere(&["keys"], &[("http:prot", "1")]);
        assert_eq!(code, EXIT_OK);
        assert!(text.contains("| `http.port` | an integer from 1 to 65535 | `3000` | honoured |"), "{text}");
    }

    #[test]
    fn problems_exit_with_one_and_a_wrong_verb_with_two() {
        for verb in ["show", "check"] {
            let (code, text) = run_in_nowhere(&[verb], &[("http:prot", "1")]);
            assert_eq!(code, EXIT_INVALID);
            assert!(text.contains("[http:prot] is not a known key; the nearest one is [http:port]"), "{text}");
        }
        assert_eq!(run_in_nowhere(&["frobnicate"], &[]).0, EXIT_USAGE);
        assert_eq!(run_in_nowhere(&[], &[]).0, EXIT_USAGE);
    }
}
