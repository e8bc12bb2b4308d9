//! `coreward series check|salvage|retention`: the points on disk, for a server that is stopped. `check` writes nothing to the
//! log; `salvage` replays what is readable, where a start has refused to, and says what was stepped over; `retention` is a
//! dry run of `series.retention`.

use std::path::Path;

use model::SlotId;
use rustc_hash::{FxHashMap, FxHashSet};
use series::{Catalog, Damage, RealDisk, RecoveryOptions, RecoveryReport};

use storage::base::BaseStore;

use crate::boot::{self, BootError};
use crate::cli::UsageError;
use crate::config::{Args, RetentionRule};
use crate::data_folder::DataFolder;
use crate::points::resume;
use crate::upkeep::retention::{Asked, Reduced};

pub fn run(words: &[String], args: &Args) -> Result<(), BootError> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let work = match words.as_slice() {
        ["check"] => Work::Check,
        ["salvage"] => Work::Salvage,
        ["retention"] => Work::Retention,
        _ => return Err(UsageError::Usage("series check|salvage|retention [--config FILE]").into()),
    };
    let config = super::load(args)?;
    if !config.storages.data_dir.is_dir() {
        return Err(format!("there is no data folder {}", config.storages.data_dir.display()).into());
    }
    // Locked: a running server would write beside us.
    let folder = DataFolder::open(&config.storages.data_dir)?;
    let (base, pool) = boot::open_slots(&config)?;
    let live = boot::live_series(base.as_ref())?;
    let is_whole = match work {
        Work::Salvage => salvage(&folder, base.as_ref(), &live, config.series.ring_bytes_max),
        Work::Check => check(&folder, &live, config.series.ring_bytes_max),
        Work::Retention => preview_retention(&folder, base.as_ref(), &config.series.retention).map(|()| true),
    };
    base.close();
    pool.shutdown();
    match is_whole? {
        true => Ok(()),
        false => Err("damage was found".into()),
    }
}

enum Work {
    Check,
    Salvage,
    Retention,
}

/// What the next run of the server would reduce, by user; points still in the log are not counted.
fn preview_retention(folder: &DataFolder, base: &dyn BaseStore, rules: &[RetentionRule]) -> Result<(), BootError> {
    let mut disk = RealDisk::new();
    let catalog = Catalog::open(&folder.join("series"), &mut disk)?;
    let mut all = Reduced::default();
    for slot in 0..base.slots() {
        let names: FxHashMap<_, _> = base.accounts(SlotId(slot))?.into_iter().collect();
        let asked = Asked::of(base, SlotId(slot), rules)?;
        for (user, Reduced { series, points_before, points_after }) in asked.preview(&catalog, &mut disk)? {
            let name = names.get(&user).map_or(user.as_str(), String::as_str);
            println!("{name}  {series} series, {points_before} points -> {points_after}");
            all.series += series;
            all.points_before += points_before;
            all.points_after += points_after;
        }
    }
    println!("total  {} series, {} points -> {}", all.series, all.points_before, all.points_after);
    Ok(())
}

/// Every frame of the log and every block of the segments. True when all of it reads back.
fn check(folder: &DataFolder, live: &FxHashSet<model::SeriesKey>, memory_bytes_max: u64) -> Result<bool, BootError> {
    let mut disk = RealDisk::new();
    let report = series::check(&mut disk, &folder.join("log"), &|key| live.contains(&key), memory_bytes_max)?;
    print_log(&report);
    let catalog = Catalog::open(&folder.join("series"), &mut disk)?;
    let mut faults = 0;
    let segments = catalog.snapshot();
    for segment in segments.iter() {
        if let Err(error) = segment.verify(&|key| live.contains(&key), &mut disk) {
            println!("damaged   {error}");
            faults += 1;
        }
    }
    let rows: u64 = segments.iter().map(|segment| segment.rows()).sum();
    println!("segments  {} files, {rows} points, {faults} damaged", segments.len());
    Ok(report.damage.is_empty() && faults == 0)
}

/// The replay of a start, stepping over what cannot be read.
fn salvage(
    folder: &DataFolder,
    base: &dyn BaseStore,
    live: &FxHashSet<model::SeriesKey>,
    memory_bytes_max: u64,
) -> Result<bool, BootError> {
    let mut disk = RealDisk::new();
    let catalog = Catalog::open(&folder.join("series"), &mut disk)?;
    let options = RecoveryOptions { memory_bytes_max, salvage: true };
    let log_dir = folder.join("log");
    let report = series::recover(&mut disk, &log_dir, &catalog, &|key| live.contains(&key), options)?;
    resume::extents(base, &report.extents)?;
    print_log(&report);
    println!("kept      {} points in {} new segments; the log is empty now", report.points, report.segments);
    Ok(true)
}

fn print_log(report: &RecoveryReport) {
    let RecoveryReport { log_files, posts, points, points_dropped, .. } = report;
    println!("log       {log_files} files, {posts} posts, {points} points, {points_dropped} of deleted series");
    for Damage { file, offset } in &report.damage {
        println!("damaged   {} at byte {offset}", Path::display(file));
    }
}
