//! Many worlds on all cores, and what they have shown.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::counts::Counts;
use super::walk::{self, Outcome, Plan};
use crate::error::{CiError, Result};
use crate::tools;

/// Acts shown of a world that failed; its whole story is in a file.
const STORY_LINES: usize = 40;

#[derive(Debug, Clone, Copy)]
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) plan: Plan,
}

/// A world in which a promise was broken.
pub(super) struct Failure {
    pub(super) world: World,
    what: String,
}

#[derive(Default)]
pub(super) struct Findings {
    pub(super) counts: Counts,
    pub(super) failures: Vec<Failure>,
}

/// The worlds in their order, spread over the cores.
pub(super) fn run_all(worlds: &[World], judge: fn(World) -> std::result::Result<Outcome, String>) -> Findings {
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Findings::default());
    let work = || {
        let mut own = Findings::default();
        while let Some(world) = worlds.get(next.fetch_add(1, Ordering::Relaxed)) {
            match judge(*world) {
                Ok(outcome) => own.counts.merge(&outcome.counts),
                Err(what) => own.failures.push(Failure { world: *world, what }),
            }
        }
        let mut all = all.lock().expect("the panics of the worlds are caught");
        all.counts.merge(&own.counts);
        all.failures.extend(own.failures);
    };
    // Where a world has panicked is part of its failure, and no news for the terminal.
    std::panic::set_hook(Box::new(|panic| PANIC.set(panic.to_string())));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    drop(std::panic::take_hook());
    let mut all = all.into_inner().expect("the panics of the worlds are caught");
    all.failures.sort_by_key(|failure| failure.world.seed);
    all
}

pub(super) fn once(world: World) -> std::result::Result<Outcome, String> {
    let outcome = play(world, false)?;
    outcome.violation.clone().map_or(Ok(outcome), Err)
}

/// Both runs must be the same, down to each disk operation.
pub(super) fn twice(world: World) -> std::result::Result<Outcome, String> {
    let outcome = once(world)?;
    match play(world, false)? == outcome {
        true => Ok(outcome),
        false => Err("two runs of the seed differ: something depends on more than the seed".to_owned()),
    }
}

/// A panic of the engine is a broken promise, too.
fn play(world: World, is_told: bool) -> std::result::Result<Outcome, String> {
    catch_unwind(AssertUnwindSafe(|| walk::run(world.seed, world.plan, is_told))).map_err(|_| PANIC.take())
}

thread_local! {
    static PANIC: Cell<String> = const { Cell::new(String::new()) };
}

impl Failure {
    /// Runs the world once more, to write its story down.
    pub(super) fn told(&self) -> Result<String> {
        let World { seed, plan } = self.world;
        let story = play(self.world, true).map(|outcome| outcome.story).unwrap_or_default();
        let path = story_path(seed);
        std::fs::write(&path, story.join("\n")).map_err(CiError::file(&path))?;
        let end = story.get(story.len().saturating_sub(STORY_LINES)..).unwrap_or_default().join("\n          ");
        let whole = path.display();
        Ok(format!("seed {seed}, {plan:?}: {}\n          {end}\n          the whole story: {whole}", self.what))
    }
}

fn story_path(seed: u64) -> PathBuf {
    tools::target_folder().join(format!("sim-{seed}.txt"))
}
