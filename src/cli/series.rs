//! `coreward series check|salvage`: the points on disk, for a server that is stopped. `check` writes nothing to the log;
//! `salvage` replays what is readable, where a start has refused to, and says what was stepped over.

use std::path::Path;

use rustc_hash::FxHashSet;
use series::{Catalog, Damage, RealDisk, RecoveryOptions, RecoveryReport};

use crate::boot::{self, BootError};
use crate::cli::UsageError;
use crate::config::Args;
use crate::data_folder::DataFolder;

pub fn run(words: &[String], args: &Args) -> Result<(), BootError> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let is_salvage = match words.as_slice() {
        ["check"] => false,
        ["salvage"] => true,
        _ => return Err(UsageError::Usage("series check|salvage [--config FILE]").into()),
    };
    let config = super::load(args)?;
    if !config.storages.data_dir.is_dir() {
        return Err(format!("there is no data folder {}", config.storages.data_dir.display()).into());
    }
    // Locked: a running server would write beside us.
    let folder = DataFolder::open(&config.storages.data_dir)?;
    let (base, pool) = boot::open_slots(&config)?;
    let live = boot::live_series(base.as_ref())?;
    let is_whole = match is_salvage {
        true => salvage(&folder, &live, config.series.ring_bytes_max),
        false => check(&folder, &live, config.series.ring_bytes_max),
    };
    base.close();
    pool.shutdown();
    match is_whole? {
        true => Ok(()),
        false => Err("damage was found".into()),
    }
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
fn salvage(folder: &DataFolder, live: &FxHashSet<model::SeriesKey>, memory_bytes_max: u64) -> Result<bool, BootError> {
    let mut disk = RealDisk::new();
    let catalog = Catalog::open(&folder.join("series"), &mut disk)?;
    let options = RecoveryOptions { memory_bytes_max, salvage: true };
    let log_dir = folder.join("log");
    let report = series::recover(&mut disk, &log_dir, &catalog, &|key| live.contains(&key), options)?;
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
