//! `cargo ci sim-calibrate`: small programs of writes, renames and syncs run on a real ext4 and on the simulated disk at
//! once; the real one loses its power; what it has left must be among what the simulated one may leave. Otherwise its
//! rules are kinder than reality (docs/decisions/0012).
//!
//! Half of the programs are still at work when the power goes. There ext4's shutdown may meet a sync that reports success
//! for what is gone: such a last sync is counted, and no failure.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Advice, fadvise};
use series::fault::MemoryDisk;
use series::{Disk, DiskError, Op, RealDisk};

use super::FAILURES_MAX;
use crate::error::{CiError, Result};
use crate::loop_mount::LoopMount;
use crate::random::Random;
use crate::report::Report;
use crate::server::Workspace;

const IMAGE_BYTES: u64 = 512 << 20;
const STEPS_MAX: u64 = 40;
const FILES: u64 = 5;
const FILE_BYTES: u64 = 100 << 10;
const WRITE_BYTES_MAX: u64 = 20 << 10;
/// Where the power goes while a program runs.
const CUT_WITHIN_US: u64 = 20_000;

/// What the cuts have left, so that a calibration that compares nothing is seen.
#[derive(Debug, Default)]
struct Counts {
    cut_at_work: u64,
    steps: u64,
    /// Programs of which everything was there, nothing but what was synced, or something in between.
    all: u64,
    synced_only: u64,
    between: u64,
    nothing_unsynced: u64,
    /// The last sync has told a lie: of a file written in place, of one that had grown, of the folder.
    lies_in_place: u64,
    lies_of_growth: u64,
    lies_of_folder: u64,
}

/// What a program has done until the power went.
struct Course {
    steps: usize,
    simulated: MemoryDisk,
    last_sync: Option<LastSync>,
}

struct LastSync {
    /// The disk as if it had not been.
    without: MemoryDisk,
    of: Synced,
}

#[derive(Debug, Clone, Copy)]
enum Synced {
    InPlace,
    Growth,
    Folder,
}

pub(crate) fn run(seed: u64, cycles: u32, report: &mut Report) -> Result<()> {
    let workspace = Workspace::new("calibrate-")?;
    let mut mount = match LoopMount::prepare(workspace.path(), IMAGE_BYTES) {
        Ok(mount) => mount,
        Err(error) => {
            report.skip("the simulated disk against a real one", &error.to_string());
            return Ok(());
        }
    };
    let mut random = Random::new(seed);
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for number in 0..cycles {
        let program = Program::any(random.next());
        failures.extend(program.run(&format!("p{number}"), &mut mount, &mut counts)?);
    }
    report.note(format!("sim-calibrate: {cycles} programs, seed {seed}: {counts:?}"));
    let title = format!("what {cycles} real power cuts have left is among what the simulated disk may leave");
    if failures.is_empty() {
        report.pass(&title);
    }
    failures.iter().take(FAILURES_MAX).for_each(|failure| report.fail(&title, failure));
    Ok(())
}

/// One step of a program; files go by number.
#[derive(Debug, Clone)]
enum Step {
    Create(u64),
    Allocate {
        file: u64,
        bytes: u64,
    },
    Write {
        file: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
    Sync(u64),
    SyncDir,
    Rename(u64, u64),
    Remove(u64),
    /// The kernel begins to write out what is dirty, as it does by itself after some seconds.
    WriteOut(u64),
}

struct Program {
    seed: u64,
    steps: Vec<Step>,
    /// The power goes while it runs, after so many microseconds; otherwise at its end.
    cut_after_us: Option<u64>,
}

impl Program {
    fn any(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut steps = vec![Step::Create(0), Step::Create(1)];
        for _ in 0..random.between(5, STEPS_MAX) {
            steps.push(Step::any(&mut random));
        }
        let cut_after_us = random.one_in(2).then(|| random.between(0, CUT_WITHIN_US));
        Self { seed, steps, cut_after_us }
    }

    /// What is not as it may be.
    fn run(&self, name: &str, mount: &mut LoopMount, counts: &mut Counts) -> Result<Option<String>> {
        let folder = mount.mount_point().join(name);
        std::fs::create_dir(&folder).map_err(CiError::file(&folder))?;
        rustix::fs::sync();
        let course = self.run_until_cut(&folder, mount)?;
        mount.mount_again()?;
        let found = files_in(&folder)?;
        std::fs::remove_dir_all(&folder).map_err(CiError::file(&folder))?;
        counts.note(&course, &found, self.cut_after_us.is_some());
        let Err(why) = course.simulated.may_leave(&found) else { return Ok(None) };
        let lie = course.last_sync.filter(|last| self.cut_after_us.is_some() && last.without.may_leave(&found).is_ok());
        if let Some(lie) = lie {
            counts.note_lie(lie.of);
            return Ok(None);
        }
        let done: Vec<String> = self.steps.iter().take(course.steps + 1).map(Step::shown).collect();
        let (seed, cut) = (self.seed, self.cut_after_us);
        Ok(Some(format!("program {seed}, cut after {cut:?} us: {why}\n      {}", done.join("\n      "))))
    }

    /// Both disks take the steps until the power goes.
    fn run_until_cut(&self, folder: &Path, mount: &LoopMount) -> Result<Course> {
        std::thread::scope(|scope| {
            let cutter = self.cut_after_us.map(|after_us| {
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_micros(after_us));
                    mount.shut_down()
                })
            });
            let mut course = Course { steps: 0, simulated: MemoryDisk::new(self.seed), last_sync: None };
            let mut real = RealDisk::new();
            course.steps = self.steps.iter().take_while(|step| course.take(step, folder, &mut real)).count();
            match cutter {
                Some(cutter) => cutter.join().map_err(|_| CiError::format(folder, "the cutter panicked"))??,
                None => mount.shut_down()?,
            }
            Ok(course)
        })
    }
}

impl Course {
    /// `false`: the power is gone. A step without sense (no such file) is left out on all disks.
    fn take(&mut self, step: &Step, folder: &Path, real: &mut RealDisk) -> bool {
        let of = match step {
            Step::Sync(file) => match self.kind_of_sync(&path(folder, *file)) {
                Some(of) => of,
                None => return true,
            },
            Step::SyncDir => Synced::Folder,
            // Anything else may have been done or not when the power goes in it: that is what the simulated disk makes of
            // a thing that was done and not synced.
            _ => {
                if step.execute(folder, &mut self.simulated).is_err() {
                    return true;
                }
                if let Some(last) = &mut self.last_sync {
                    step.execute(folder, &mut last.without).expect("the same names are there");
                }
                return step.execute(folder, real).is_ok();
            }
        };
        // What a sync promises is promised only when it has succeeded.
        if step.execute(folder, real).is_err() {
            return false;
        }
        self.last_sync = Some(LastSync { without: self.simulated.fork(), of });
        step.execute(folder, &mut self.simulated).is_ok()
    }

    /// `None`: there is no such file.
    fn kind_of_sync(&self, path: &Path) -> Option<Synced> {
        let has_grown = self.simulated.synced_bytes(path)? < self.simulated.content(path)?.len();
        Some(if has_grown { Synced::Growth } else { Synced::InPlace })
    }
}

impl Step {
    fn any(random: &mut Random) -> Self {
        let mut file = || random.between(0, FILES);
        let (file, other) = (file(), file());
        match random.below(20) {
            0 | 1 => Step::Create(file),
            2 => Step::Allocate { file, bytes: random.between(1, FILE_BYTES) },
            3..10 => {
                let filler = u8::try_from(random.between(1, 256)).unwrap_or(1);
                let count = usize::try_from(random.between(1, WRITE_BYTES_MAX)).unwrap_or(1);
                Step::Write { file, offset: random.between(0, FILE_BYTES), bytes: vec![filler; count] }
            }
            10..13 => Step::Sync(file),
            13 | 14 => Step::SyncDir,
            15 | 16 => Step::Rename(file, other),
            17 => Step::Remove(file),
            _ => Step::WriteOut(file),
        }
    }

    fn execute(&self, folder: &Path, disk: &mut dyn Disk) -> std::result::Result<(), DiskError> {
        let path = |file: &u64| path(folder, *file);
        let done = match self {
            Step::Create(file) => disk.execute(Op::Create { path: &path(file) }),
            Step::Allocate { file, bytes } => disk.execute(Op::Allocate { path: &path(file), bytes: *bytes }),
            Step::Write { file, offset, bytes } => {
                disk.execute(Op::WriteAt { path: &path(file), offset: *offset, bytes })
            }
            Step::Sync(file) => disk.execute(Op::Sync { path: &path(file) }),
            Step::SyncDir => disk.execute(Op::SyncDir { path: folder }),
            Step::Rename(from, to) => disk.execute(Op::Rename { from: &path(from), to: &path(to) }),
            Step::Remove(file) => disk.execute(Op::Remove { path: &path(file) }),
            Step::WriteOut(file) => {
                // Best effort: it changes only what of the unsynced happens to survive.
                let _ = File::open(path(file)).map(|file| fadvise(&file, 0, None, Advice::DontNeed));
                return Ok(());
            }
        };
        done.map(drop)
    }

    fn shown(&self) -> String {
        match self {
            Step::Write { file, offset, bytes } => format!("write {file} at {offset}: {} bytes", bytes.len()),
            other => format!("{other:?}"),
        }
    }
}

impl Counts {
    fn note(&mut self, course: &Course, found: &BTreeMap<PathBuf, Vec<u8>>, cut_at_work: bool) {
        self.steps += u64::try_from(course.steps).unwrap_or(0);
        self.cut_at_work += u64::from(cut_at_work);
        let (written, synced) = (course.simulated.written(), course.simulated.synced());
        *match (*found == written, *found == synced) {
            (true, true) => &mut self.nothing_unsynced,
            (true, false) => &mut self.all,
            (false, true) => &mut self.synced_only,
            (false, false) => &mut self.between,
        } += 1;
    }

    fn note_lie(&mut self, of: Synced) {
        *match of {
            Synced::InPlace => &mut self.lies_in_place,
            Synced::Growth => &mut self.lies_of_growth,
            Synced::Folder => &mut self.lies_of_folder,
        } += 1;
    }
}

fn path(folder: &Path, file: u64) -> PathBuf {
    folder.join(format!("f{file}"))
}

fn files_in(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(CiError::file(folder))? {
        let path = entry.map_err(CiError::file(folder))?.path();
        let content = std::fs::read(&path).map_err(CiError::file(&path))?;
        files.insert(path, content);
    }
    Ok(files)
}
