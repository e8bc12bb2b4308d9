//! Drives the targets: replays the stored inputs, then, with `--seconds`, mutates them.
//!
//! ```text
//! cargo run --release                                  replay corpus/<target>/* of every target
//! cargo run --release -- --seconds 60                  and mutate for 60 s per target
//! cargo run --release -- --seconds 60 --target http1   one target only
//! cargo run --release -- --seconds 60 --seed 7         another sequence; the same seed gives the same inputs
//! ```
//! An input that panics is saved under `artifacts/<target>-<hash>`, to be moved into the corpus with the repair.

mod mutate;

use std::error::Error;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use coreward_fuzz::{TARGETS, Target};
use mutate::Mutator;

/// Crashes kept per target and run; more are mostly the same one.
const CRASH_COUNT_MAX: usize = 10;
/// Inputs tried between two looks at the clock.
const INPUTS_PER_LOOK: u32 = 256;

struct Options {
    seconds: u64,
    seed: u64,
    target: Option<String>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = options(std::env::args().skip(1))?;
    let known = |name: &String| TARGETS.iter().any(|target| target.name == name);
    if let Some(unknown) = options.target.as_ref().filter(|name| !known(name)) {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        return Err(format!("there is no target {unknown}; known are: {}", names.join(", ")).into());
    }
    let mut crash_count = 0;
    for target in TARGETS.iter().filter(|target| options.target.as_deref().is_none_or(|name| name == target.name)) {
        crash_count += run(target, &options)?;
    }
    Ok(if crash_count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    let mut options = Options { seconds: 0, seed: 1, target: None };
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--seconds" => options.seconds = value.parse()?,
            "--seed" => options.seed = value.parse()?,
            "--target" => options.target = Some(value),
            _ => return Err(format!("unknown argument {name}; known are --seconds, --seed, --target").into()),
        }
    }
    Ok(options)
}

/// Replays, then mutates; returns how many inputs crashed.
fn run(target: &Target, options: &Options) -> Result<usize, Box<dyn Error>> {
    let corpus = corpus(target.name)?;
    let mut crash_count = 0;
    for (path, input) in &corpus {
        if crashes(target, input) {
            println!("{}: {} crashes", target.name, path.display());
            crash_count += 1;
        }
    }
    println!("{}: {} stored inputs replayed", target.name, corpus.len());
    if options.seconds == 0 {
        return Ok(crash_count);
    }
    // Panics are the harvest here, not news for the terminal.
    std::panic::set_hook(Box::new(|_| {}));
    let inputs = corpus.into_iter().map(|(_, input)| input).collect();
    let mut mutator = Mutator::new(options.seed, inputs, target.dictionary);
    let start = Instant::now();
    let mut input_count = 0_u64;
    while start.elapsed() < Duration::from_secs(options.seconds) && crash_count < CRASH_COUNT_MAX {
        for _ in 0..INPUTS_PER_LOOK {
            let input = mutator.next_input();
            if crashes(target, &input) {
                crash_count += 1;
                println!("{}: crash saved as {}", target.name, save(target.name, &input)?.display());
            }
        }
        input_count += u64::from(INPUTS_PER_LOOK);
    }
    drop(std::panic::take_hook());
    let per_second = input_count / start.elapsed().as_secs().max(1);
    println!("{}: {input_count} mutated inputs, {per_second} a second, {crash_count} crashes", target.name);
    Ok(crash_count)
}

/// A file of the corpus and what is in it.
type Stored = (PathBuf, Vec<u8>);

fn crashes(target: &Target, input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err()
}

/// The stored inputs in the order of their names, so that a run repeats.
fn corpus(name: &str) -> Result<Vec<Stored>, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        paths.push(entry?.path());
    }
    paths.sort();
    let mut inputs = Vec::new();
    for path in paths {
        let input = fs::read(&path)?;
        inputs.push((path, input));
    }
    Ok(inputs)
}

fn save(name: &str, input: &[u8]) -> Result<PathBuf, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts");
    fs::create_dir_all(&folder)?;
    // FNV-1a: the same input gets the same name.
    let hash = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let path = folder.join(format!("{name}-{hash:016x}"));
    fs::write(&path, input)?;
    Ok(path)
}
