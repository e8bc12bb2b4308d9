//! Calls that have no place in some part of the tree: the invariants of absence of docs/architecture.md.

use super::Finding;
use super::source::Source;

/// One rule: in product code of these places (and not of those), none of the words.
struct Rule {
    /// Path prefixes; empty means everywhere.
    places: &'static [&'static str],
    except: &'static [&'static str],
    words: &'static [&'static str],
    instead: &'static str,
}

/// Code that runs on a shard's thread, where a blocking call stops every user of that shard.
const ON_A_SHARD: &[&str] = &[
    "src/methods",
    "src/points",
    "src/realtime",
    "src/router",
    "src/routes",
    "src/space",
    "src/trunk",
    "shards/src/mailbox",
    "shards/src/shard",
    "shards/src/socket",
];

/// In the same folders, but with a thread of its own.
const BESIDE_THE_SHARDS: &[&str] = &[
    // The start, before there are shards.
    "src/points/resume",
];

/// The checks and the load generator are programs of their own.
const NOT_THE_SERVER: &[&str] = &["bench/", "ci/"];

/// Who may act without a caller's permission: the parts that work on the server's own behalf.
const SERVER_ITSELF: &[&str] = &[
    "storage/model/src/permission",
    // An account is made before anybody may act in it, and unmade by the administrator as well as by the person.
    "src/platform/registration",
    "src/platform/erasure",
    // A login checks a password and opens a session: there is no access before it.
    "src/methods/auth.rs",
    // Usage counters and sessions are written in the background, for everybody at once.
    "src/service.rs",
    // A user's accesses and streams are loaded so that permissions can be checked at all.
    "src/node",
    // Files without an event are looked for among all users.
    "src/files_sweep",
    // The duration of a series event follows its points (usage that no caller asked for).
    "src/points/extents",
    // Measuring and checking need users without passwords.
    "bench/",
    "ci/",
];

const RULES: &[Rule] = &[
    Rule {
        places: ON_A_SHARD,
        except: BESIDE_THE_SHARDS,
        words: &["thread::sleep", "std::fs", "std::process", "block_on(", "blocking_recv", "blocking_send", "park()"],
        instead: "a shard may not block: use shards::rt, or a lane of the pool",
    },
    Rule {
        places: &[],
        except: &["ci/src/tidy/banned.rs"],
        words: &["todo!(", "unimplemented!("],
        instead: "write it, or answer the error of the specification",
    },
    Rule {
        places: &[],
        except: NOT_THE_SERVER,
        words: &["unbounded_channel", "unbounded()", "UnboundedSender"],
        instead: "every queue is bounded: use tokio::sync::mpsc::channel",
    },
    Rule {
        places: &[],
        except: &["shards/src/rt", "shards/src/socket", "bench/", "ci/"],
        words: &["monoio::"],
        instead: "the runtime stays behind shards::rt",
    },
    Rule {
        places: &["shards/wire/", "storage/model/", "storage/series/"],
        except: &[],
        words: &["tokio::", "TcpStream", "TcpListener", "UdpSocket"],
        instead: "protocols, nouns and series know no runtime",
    },
    Rule {
        places: &["shards/wire/", "storage/series/"],
        except: &[],
        words: &["SystemTime", "Instant::now", "getrandom", "thread_rng"],
        instead: "time and randomness come in as arguments",
    },
    Rule {
        places: &[],
        except: SERVER_ITSELF,
        words: &["server_itself("],
        instead: "act with the caller's Grant, or add the file to the list in ci/src/tidy/banned.rs and say why",
    },
];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    sources.iter().flat_map(|source| RULES.iter().flat_map(|rule| rule.check(source))).collect()
}

impl Rule {
    fn check(&self, source: &Source) -> Vec<Finding> {
        if !self.applies_to(&source.path) {
            return Vec::new();
        }
        let lines = source.product_lines().filter(|(_, line)| !line.trim_start().starts_with("//"));
        lines.filter_map(|(number, line)| self.find(&source.path, number, line)).collect()
    }

    fn applies_to(&self, path: &str) -> bool {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
        (self.places.is_empty() || starts(self.places)) && !starts(self.except)
    }

    fn find(&self, path: &str, number: usize, line: &str) -> Option<Finding> {
        let code = line.split(" //").next().unwrap_or(line);
        let word = self.words.iter().find(|word| code.contains(*word))?;
        Some(Finding::new(format!("{path}:{number}"), format!("`{word}`: {}", self.instead)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, line: &str) -> usize {
        check(&[Source::parse(path, format!("fn f() {{\n    {line}\n}}\n")).unwrap()]).len()
    }

    #[test]
    fn a_blocking_call_is_found_on_a_shard_only() {
        assert_eq!(findings("src/methods/events.rs", "std::fs::read(x);"), 1);
        assert_eq!(findings("src/config/load.rs", "std::fs::read(x);"), 0);
    }

    #[test]
    fn the_runtime_is_found_outside_its_module() {
        assert_eq!(findings("src/trunk.rs", "monoio::spawn(x);"), 1);
        assert_eq!(findings("shards/src/rt/timer.rs", "monoio::time::sleep(x);"), 0);
    }

    #[test]
    fn clocks_are_found_in_sans_io_crates_only() {
        assert_eq!(findings("storage/series/src/ring.rs", "let t = std::time::Instant::now();"), 1);
        assert_eq!(findings("shards/src/shard.rs", "let t = std::time::Instant::now();"), 0);
    }

    #[test]
    fn acting_without_a_caller_is_found_outside_the_list() {
        assert_eq!(findings("src/methods/events.rs", "Grant::server_itself(user);"), 1);
        assert_eq!(findings("src/node.rs", "Grant::server_itself(user);"), 0);
    }

    #[test]
    fn words_in_comments_are_not_calls() {
        assert_eq!(findings("src/trunk.rs", "// no monoio::spawn here"), 0);
        assert_eq!(findings("src/trunk.rs", "f(); // not monoio::spawn"), 0);
    }
}
