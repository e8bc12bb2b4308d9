//! One seed: several lives of a node on one disk, with faults, and the comparison at every start.

use series::RecoveryReport;
use series::fault::Fault;

use super::counts::{Counts, Event};
use super::ground::Ground;
use super::life::Life;
use super::process::Process;

/// Starts that may fail one after the other; the next one meets no fault and must succeed.
const FAULTY_STARTS_MAX: u32 = 3;
/// What goes on after the end of the power: nothing of it may be answered as if it were safe.
const AGONY_ACTIONS: u32 = 4;
/// A fault comes within so many operations: in a start, in a life, after the one before.
const FAULT_IN_START_WITHIN: u64 = 30;
const FAULT_IN_LIFE_WITHIN: u64 = 200;
const NEXT_FAULT_WITHIN: u64 = 60;

/// What is done to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Anything, at any time, over several lives.
    Random,
    /// One fault at the n-th operation of one life, and the next ones; at its end the power goes, or only the process.
    Single { at: u64, count: u64, fault: Fault, power_cut: bool },
    /// Nothing, in one life.
    Calm,
}

/// What a seed has shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Of all disk operations and results.
    pub(super) trace: u64,
    pub(super) operations: u64,
    pub(super) counts: Counts,
    pub(super) violation: Option<String>,
    /// Act by act; only when it was asked for.
    pub(super) story: Vec<String>,
}

pub(super) fn run(seed: u64, plan: Plan, is_told: bool) -> Outcome {
    let mut ground = Ground::new(seed, is_told);
    let lives = if plan == Plan::Random { ground.random.between(2, 6) } else { 1 };
    if let Plan::Single { at, count, fault, .. } = plan {
        ground.plan_fault(at, count, fault);
    }
    // After an orderly stop there is nothing to replay.
    let mut is_log_gone = false;
    for _ in 0..lives {
        is_log_gone = live(&mut ground, plan, is_log_gone);
    }
    ground.disk.memory().calm();
    live(&mut ground, Plan::Calm, is_log_gone);
    let operations = ground.disk.memory().operations();
    ground.counts.add(Event::DiskOperation, operations);
    ground.counts.add(Event::DiskFailure, ground.disk.failures());
    let Ground { disk, counts, violation, .. } = ground;
    Outcome { trace: disk.hash(), operations, counts, violation, story: disk.story() }
}

/// From a start to an end. Whether it has left no log.
fn live(ground: &mut Ground, plan: Plan, is_log_gone: bool) -> bool {
    if ground.violation.is_some() {
        return false;
    }
    let Some((process, report)) = start(ground, plan) else { return false };
    ground.counts.add(Event::Replayed, report.posts);
    let replayed = is_log_gone && report.posts > 0;
    ground.check(!replayed, || format!("{} posts were replayed after an orderly stop", report.posts));
    ground.has_faults = plan == Plan::Random;
    let mut life = Life::new(ground, process);
    life.compare();
    if plan == Plan::Random && life.ground.random.below(3) > 0 {
        let after = life.ground.random.between(0, FAULT_IN_LIFE_WITHIN);
        plan_any_fault(life.ground, after);
    }
    walk(&mut life, plan);
    end(life, plan)
}

/// The next process, in the end; the disk may spoil some starts.
fn start(ground: &mut Ground, plan: Plan) -> Option<(Process, RecoveryReport)> {
    for attempt in 0..=FAULTY_STARTS_MAX {
        let is_calm = plan == Plan::Calm || attempt > 0 && (plan != Plan::Random || attempt == FAULTY_STARTS_MAX);
        if is_calm {
            ground.disk.memory().calm();
            if ground.disk.memory().is_read_only() {
                // The operator mounts the file system anew.
                ground.end_process(true);
            }
        } else if plan == Plan::Random && ground.random.one_in(2) {
            let after = ground.random.between(0, FAULT_IN_START_WITHIN);
            match ground.random.one_in(2) {
                true => ground.plan_fault(after, 1, Fault::PowerCut),
                false => plan_any_fault(ground, after),
            }
        }
        let failures = ground.disk.failures();
        match Process::start(ground) {
            Ok(started) => {
                ground.counts.one(Event::Start);
                // What is compared now must be readable.
                if plan == Plan::Random {
                    ground.disk.memory().calm();
                }
                return Some(started);
            }
            Err(error) if is_calm || ground.disk.failures() == failures => {
                ground.fail(format!("a start was refused on a disk that works: {error}"));
                return None;
            }
            Err(_) => {
                let is_off = ground.disk.memory().is_off();
                ground.counts.one(if is_off { Event::StartCut } else { Event::StartFailed });
                let power_cut = ground.random.one_in(2);
                ground.end_process(power_cut);
            }
        }
    }
    None
}

fn walk(life: &mut Life<'_>, plan: Plan) {
    let mut agony = AGONY_ACTIONS;
    for _ in 0..life.ground.random.between(10, 140) {
        let memory = life.ground.disk.memory();
        if memory.is_off() {
            agony -= 1;
            if agony == 0 {
                return;
            }
        } else if plan == Plan::Random && !memory.is_fault_ahead() && life.ground.random.one_in(40) {
            let after = life.ground.random.between(0, NEXT_FAULT_WITHIN);
            plan_any_fault(life.ground, after);
        }
        life.act();
    }
}

/// Whether it has left no log.
fn end(mut life: Life<'_>, plan: Plan) -> bool {
    let memory = life.ground.disk.memory();
    let is_usable = !memory.is_off() && !memory.is_read_only();
    let is_orderly = is_usable && plan != Plan::Calm && life.ground.random.one_in(3);
    let mut is_log_gone = false;
    if is_orderly {
        life.ground.disk.memory().calm();
        is_log_gone = life.stop();
        life.ground.counts.one(Event::Stop);
    }
    let ground = life.into_ground();
    ground.counts.add(Event::ReadOnly, u64::from(ground.disk.memory().is_read_only()));
    let power_cut = match plan {
        Plan::Single { power_cut, .. } => power_cut,
        Plan::Random | Plan::Calm => ground.random.one_in(2),
    };
    ground.end_process(power_cut);
    is_log_gone
}

fn plan_any_fault(ground: &mut Ground, after: u64) {
    let fault = match ground.random.below(10) {
        0 | 1 => Fault::Io,
        2 | 3 => Fault::NoSpace,
        4 => Fault::Full,
        5..8 => Fault::PowerCut,
        _ => Fault::Kill,
    };
    let count = if ground.random.one_in(3) { ground.random.between(2, 5) } else { 1 };
    ground.plan_fault(after, count, fault);
}
