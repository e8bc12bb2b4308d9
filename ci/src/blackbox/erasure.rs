//! What a deletion promises: the points are gone for readers at once, and soon no file below the data folder holds them.
//! Texts are planted in points wherever points rest (the log, a segment, segments that were merged), then looked for byte
//! by byte.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::series::{Series, found_on_disk, restart, wait_until};
use crate::account::Account;
use crate::error::{CiError, Result};
use crate::http::{Client, Request};
use crate::report::Report;
use crate::server::{Server, Setup};

/// One slot, so that the segments of all restarts are neighbours.
const SETTINGS: &[(&str, &str)] =
    &[("cluster:shards", "2"), ("storages:engines:sqlite:slots", "1"), ("user-account:delete", r#"["personalToken"]"#)];
const ERASE_AFTER: &str = "series:merge:eraseAfterS";
/// The content of an ordinary event of the account that is deleted.
const NOTE: &str = "[a note]";
const KIND: &str = "series:note/txt";
/// Each leaves a segment, and four of one size are merged.
const MERGED_RESTARTS: u8 = 4;
/// Users that write while others are deleted: enough for every shard to have some.
const NEIGHBOURS: usize = 4;
const NEIGHBOUR_PAUSE: Duration = Duration::from_millis(1);

/// An event, a stream and an account are deleted while others write.
pub(super) fn run(setup: Setup, report: &mut Report) -> Result<Server> {
    let setup = with_settings(setup).setting(ERASE_AFTER, "0");
    let (garden, server) = Garden::grown(&setup, report)?;
    let neighbours: Vec<Series> = (0..NEIGHBOURS).map(|index| neighbour(&server, index)).collect::<Result<_>>()?;
    let ((), posted) = while_they_write(&neighbours, || {
        garden.delete_event_and_stream()?;
        garden.delete_account()?;
        garden.check_gone_for_clients("erasure", report)?;
        garden.check_gone_from_disk("erasure", report)
    })?;
    for (series, posted) in neighbours.iter().zip(posted) {
        let found = series.read()?.points().len();
        let counts = format!("{found} points of {posted}");
        report.check("erasure: what others wrote meanwhile is all there", found == posted, &counts);
    }
    garden.check_kept("erasure", report)?;
    Ok(server)
}

/// The same with a `kill -9` right behind the answers.
pub(super) fn after_a_kill(setup: Setup, report: &mut Report) -> Result<Server> {
    // Longer than the server lives: nothing of events and streams is erased before the restart.
    let setup = with_settings(setup).setting(ERASE_AFTER, "3600");
    let (garden, mut server) = Garden::grown(&setup, report)?;
    garden.delete_event_and_stream()?;
    server.kill()?;
    let markers: Vec<String> = [&garden.event, &garden.stream].into_iter().flat_map(Plant::markers).collect();
    let left = found_on_disk(&garden.data, &markers)?;
    let is_all_left = markers.iter().all(|marker| left.iter().any(|(text, _)| text == marker));
    report.check("erasure after a kill: before the start all is on the disk", is_all_left, &format!("{left:?}"));
    let mut server = Server::start(&setup)?;
    garden.delete_account()?;
    server.kill()?;
    let server = Server::start(&setup)?;
    garden.check_gone_for_clients("erasure after a kill", report)?;
    garden.check_gone_from_disk("erasure after a kill", report)?;
    garden.check_kept("erasure after a kill", report)?;
    Ok(server)
}

fn with_settings(setup: Setup) -> Setup {
    SETTINGS.iter().fold(setup, |setup, (key, value)| setup.setting(key, value))
}

/// Where points rest when their series is deleted; in the order in which [`Garden::grown`] brings them there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Merged,
    Segment,
    Log,
}

const PLACES: [Place; 3] = [Place::Merged, Place::Segment, Place::Log];

impl Place {
    fn delta_time(self) -> f64 {
        match self {
            Self::Merged => 1.0,
            Self::Segment => 2.0,
            Self::Log => 3.0,
        }
    }

    /// Whether the file (its path below the data folder) is one for this place.
    fn is_of(self, file: &str) -> bool {
        // series/sSLOT-nFIRST-LAST-vVERSION.seg
        let flushes: Vec<&str> = file.split('-').skip(1).take(2).map(|part| part.trim_start_matches('n')).collect();
        let is_one_flush = flushes.first() == flushes.last();
        match self {
            Self::Merged => file.starts_with("series/") && !is_one_flush,
            Self::Segment => file.starts_with("series/") && is_one_flush,
            Self::Log => file.starts_with("log/"),
        }
    }
}

/// A series whose points hold markers.
struct Plant {
    name: &'static str,
    series: Series,
}

impl Plant {
    fn create(name: &'static str, account: &Account, stream: &str) -> Result<Self> {
        Ok(Self { name, series: Series::create(account, stream, KIND, 0.0)? })
    }

    fn marker(&self, place: Place) -> String {
        format!("[marker of {} {place:?}]", self.name)
    }

    fn markers(&self) -> [String; PLACES.len()] {
        PLACES.map(|place| self.marker(place))
    }

    fn point(&self, place: Place) -> (f64, Value) {
        (place.delta_time(), self.marker(place).into())
    }
}

/// A user who stays, one who leaves, and what they planted.
struct Garden {
    data: PathBuf,
    gardener: Account,
    leaver: Account,
    kept: Plant,
    /// Deleted by itself, with its stream, with its account.
    event: Plant,
    stream: Plant,
    account: Plant,
}

impl Garden {
    /// Starts a server and brings markers of every plant to every place.
    fn grown(setup: &Setup, report: &mut Report) -> Result<(Self, Server)> {
        // One shard: each stop leaves one segment.
        let growing = setup.clone().setting("cluster:shards", "1");
        let mut server = Server::start(&growing)?;
        let garden = Self::planted(&server, &setup.folder)?;
        garden.post(Place::Merged)?;
        for restart_number in 0..MERGED_RESTARTS {
            // Something for the next segment.
            garden.kept.series.post(&[(10.0, restart_number.to_string().into())])?;
            server = restart(server, &growing)?;
        }
        let unmerged = wait_until(|| garden.misplaced(Place::Merged))?;
        garden.post(Place::Segment)?;
        server = restart(server, setup)?;
        garden.post(Place::Log)?;
        let misplaced: Vec<String> =
            PLACES.iter().filter_map(|place| garden.misplaced(*place).transpose()).collect::<Result<_>>()?;
        let no_note = found_on_disk(&garden.data, &[NOTE.to_owned()])?.is_empty().then(|| "no note".to_owned());
        let complaints = unmerged.into_iter().chain(misplaced).chain(no_note).collect::<Vec<_>>().join("; ");
        report.check(
            "erasure: markers are in the log, in a segment and in a merged one",
            complaints.is_empty(),
            &complaints,
        );
        Ok((garden, server))
    }

    fn planted(server: &Server, folder: &Path) -> Result<Self> {
        let gardener = Account::register(server.address(), "gardener")?;
        let leaver = Account::register(server.address(), "leaver")?;
        for (account, stream) in [(&gardener, "bed"), (&gardener, "compost"), (&leaver, "bed")] {
            account.create_stream(stream)?;
        }
        let note = json!({ "streamIds": ["bed"], "type": "note/txt", "content": NOTE });
        leaver.call("POST", "/events", Some(&note))?;
        Ok(Self {
            data: folder.join("data"),
            kept: Plant::create("kept", &gardener, "bed")?,
            event: Plant::create("event", &gardener, "bed")?,
            stream: Plant::create("stream", &gardener, "compost")?,
            account: Plant::create("account", &leaver, "bed")?,
            gardener,
            leaver,
        })
    }

    fn doomed(&self) -> [&Plant; 3] {
        [&self.event, &self.stream, &self.account]
    }

    fn doomed_markers(&self) -> Vec<String> {
        self.doomed().into_iter().flat_map(Plant::markers).collect()
    }

    fn post(&self, place: Place) -> Result<()> {
        let plants = self.doomed().into_iter().chain([&self.kept]);
        plants.into_iter().try_for_each(|plant| plant.series.post(&[plant.point(place)]))
    }

    /// What is wrong when a marker of this place is not on the disk, or not at its place alone.
    fn misplaced(&self, place: Place) -> Result<Option<String>> {
        let markers: Vec<String> = self.doomed().iter().map(|plant| plant.marker(place)).collect();
        let found = found_on_disk(&self.data, &markers)?;
        let is_right = |marker: &String| {
            let mut files = found.iter().filter(|(text, _)| text == marker).map(|(_, file)| file).peekable();
            files.peek().is_some() && files.all(|file| place.is_of(file))
        };
        Ok((!markers.iter().all(is_right)).then(|| format!("{place:?}: {found:?}")))
    }

    fn delete_event_and_stream(&self) -> Result<()> {
        let event = format!("/events/{}", self.event.series.event);
        self.gardener.call("DELETE", &event, None)?;
        self.gardener.call("DELETE", &event, None)?;
        self.gardener.call("DELETE", "/streams/compost", None)?;
        self.gardener.call("DELETE", "/streams/compost?mergeEventsWithParent=false", None).map(|_| ())
    }

    fn delete_account(&self) -> Result<()> {
        let path = format!("/users/{}", self.leaver.username);
        let request = Request::new("DELETE", &path).token(&self.leaver.token);
        let call = format!("DELETE {path}");
        let reply = Client::new(self.leaver.address)
            .send(&request)
            .map_err(|source| CiError::Http { call: call.clone(), source })?;
        match reply.is_success() {
            true => Ok(()),
            false => Err(CiError::Answer { call, status: reply.status, expected: "2xx", body: reply.text() }),
        }
    }

    fn check_gone_for_clients(&self, when: &str, report: &mut Report) -> Result<()> {
        for plant in self.doomed() {
            let (read, post) = (plant.series.attempt(None)?, plant.series.attempt(Some(&[plant.point(Place::Log)]))?);
            let statuses = format!("read {} {}, post {} {}", read.status, read.text(), post.status, post.text());
            let title = format!("{when}: {} deleted: reads and posts get 404", plant.name);
            report.check(&title, (read.status, post.status) == (404, 404), &statuses);
        }
        Ok(())
    }

    fn check_gone_from_disk(&self, when: &str, report: &mut Report) -> Result<()> {
        let mut texts = self.doomed_markers();
        texts.push(NOTE.to_owned());
        let left = wait_until(|| {
            let found = found_on_disk(&self.data, &texts)?;
            Ok((!found.is_empty()).then(|| format!("{found:?}")))
        })?;
        let title = format!("{when}: no file holds what was deleted");
        report.check(&title, left.is_none(), left.as_deref().unwrap_or_default());
        Ok(())
    }

    fn check_kept(&self, when: &str, report: &mut Report) -> Result<()> {
        let markers = self.kept.markers();
        let answer = self.kept.series.read()?;
        let texts = answer.texts();
        let are_read = markers.iter().all(|marker| texts.contains(&marker.as_str()));
        report.check(&format!("{when}: what was kept is read"), are_read, &format!("{texts:?}"));
        let found = found_on_disk(&self.data, &markers)?;
        let are_found = markers.iter().all(|marker| found.iter().any(|(text, _)| text == marker));
        report.check(&format!("{when}: what was kept is on the disk"), are_found, &format!("{found:?}"));
        Ok(())
    }
}

fn neighbour(server: &Server, index: usize) -> Result<Series> {
    let account = Account::register(server.address(), &format!("neighbour-{index}"))?;
    account.create_stream("bed")?;
    Series::create(&account, "bed", KIND, 0.0)
}

/// Runs the act while points are posted to each series without a break; also gives how many points each got.
fn while_they_write<T>(neighbours: &[Series], act: impl FnOnce() -> Result<T>) -> Result<(T, Vec<usize>)> {
    let is_over = AtomicBool::new(false);
    let write = |series: &Series| {
        let mut posted = 0_u32;
        while !is_over.load(Ordering::Relaxed) {
            series.post(&[(f64::from(posted), "still here".into())])?;
            posted += 1;
            std::thread::sleep(NEIGHBOUR_PAUSE);
        }
        Ok(usize::try_from(posted).unwrap_or_default())
    };
    let write = &write;
    std::thread::scope(|scope| {
        let writers: Vec<_> = neighbours.iter().map(|series| scope.spawn(move || write(series))).collect();
        let done = act();
        is_over.store(true, Ordering::Relaxed);
        let mut posted = Vec::new();
        for writer in writers {
            posted.push(writer.join().unwrap_or(Ok(0))?);
        }
        Ok((done?, posted))
    })
}
