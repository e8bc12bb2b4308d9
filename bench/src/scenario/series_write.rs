//! Posts of points to many series: synced, and with `--unsynced` also on a memory disk, where a sync costs nothing.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::template::{FIRST_POST, Template};
use super::{DATA, Place, Run, Variant};
use crate::accounts::{self, Account, MASS, Series};
use crate::client::{Client, head};
use crate::drive::Load;
use crate::error::{BenchError, Result};
use crate::server::Server;

const MEMORY_DISK: &str = "/dev/shm";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// Points a post.
    points: Vec<usize>,
    shapes: Vec<Shape>,
    disks: Vec<Disk>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    series: usize,
    users: usize,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { series, users } = self;
        write!(out, "{series} series of {users} user{}", if *users == 1 { "" } else { "s" })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Disk {
    Synced,
    /// The data folder on `/dev/shm`: the same code with syncs that cost nothing.
    Memory,
}

impl Disk {
    fn name(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Memory => "memory disk",
        }
    }
}

pub(super) fn run(plan: &Plan, run: &mut Run<'_>) -> Result<()> {
    let mut stands = Vec::new();
    for disk in &plan.disks {
        if *disk == Disk::Memory && !Path::new(MEMORY_DISK).is_dir() {
            run.report.note(format!("nothing on a memory disk: this machine has no {MEMORY_DISK}"));
        } else {
            stands.extend(Stand::new(plan, run, *disk)?);
        }
    }
    for _ in 0..run.common.rounds {
        for stand in &mut stands {
            for variant in &mut stand.variants {
                let refused = run.measure(&stand.server, variant)?;
                variant.load.is_whole &= refused == 0;
            }
        }
    }
    for stand in stands {
        stand.variants.iter().try_for_each(|variant| variant.load.verify(&stand.server))?;
        stand.server.stop()?;
    }
    Ok(())
}

/// A server with the users and series that its variants write to.
struct Stand {
    variants: Vec<Variant<Writer>>,
    server: Server,
    /// Removed after the server has stopped.
    _place: Place,
}

impl Stand {
    /// `None` when no variant of this disk is wanted.
    fn new(plan: &Plan, run: &Run<'_>, disk: Disk) -> Result<Option<Self>> {
        let named = |points: usize, shape: Shape| (format!("{}, {points} points, {shape}", disk.name()), points, shape);
        let all = plan.points.iter().flat_map(|points| plan.shapes.iter().map(|shape| named(*points, *shape)));
        let wanted: Vec<_> = all.filter(|(name, ..)| run.options.wants(name)).collect();
        let Some(users) = wanted.iter().map(|(.., shape)| shape.users).max() else { return Ok(None) };
        let parent = if disk == Disk::Memory { Path::new(MEMORY_DISK) } else { &run.options.data };
        let place = Place::below(run, parent)?;
        let server = Server::start(&place.setup, DATA)?;
        let accounts = accounts::create(server.address(), users)?;
        let connections = run.common.connections;
        let mut variants = Vec::new();
        for (name, points, shape) in wanted {
            let load = Writer::new(connections, &server, &accounts, shape, points)?;
            variants.push(Variant { name, connections: connections.min(shape.series), load });
        }
        Ok(Some(Self { variants, server, _place: place }))
    }
}

/// Sends each series its next points, as a device would: growing times, values with two decimals.
struct Writer {
    points: usize,
    connections: usize,
    targets: Vec<Target>,
    /// For each connection, its next turn through its share of the series.
    turns: Vec<usize>,
    template: Vec<Template>,
    /// No post was refused, so that every series is without a gap.
    is_whole: bool,
}

struct Target {
    series: Series,
    next_post: u64,
    head: Vec<u8>,
    head_is_for_bytes: usize,
}

impl Writer {
    fn new(connections: usize, server: &Server, accounts: &[Account], shape: Shape, points: usize) -> Result<Self> {
        let accounts = accounts.get(..shape.users).unwrap_or(accounts);
        let series = accounts::create_series(server.address(), accounts, shape.series, MASS)?;
        let target = |series| Target { series, next_post: FIRST_POST, head: Vec::new(), head_is_for_bytes: 0 };
        Ok(Self {
            points,
            connections,
            targets: series.into_iter().map(target).collect(),
            turns: vec![0; connections],
            template: Vec::new(),
            is_whole: true,
        })
    }

    /// A connection has the series `connection + k * connections` for itself.
    fn target_of(&mut self, connection: usize) -> usize {
        let Some(turn) = self.turns.get_mut(connection) else { return 0 };
        let mut index = connection + *turn * self.connections;
        if index >= self.targets.len() {
            *turn = 0;
            index = connection;
        }
        *turn += 1;
        index
    }

    /// The body for post numbers with this many digits.
    fn template(&mut self, digits: usize) -> &Template {
        let at = self.template.iter().position(|known| known.post_digits() == digits);
        let at = at.unwrap_or_else(|| {
            self.template.push(Template::new(self.points, digits));
            self.template.len() - 1
        });
        self.template.get(at).expect("a position within the list, or its last place")
    }

    /// The last post of one series is there, whole.
    fn verify(&self, server: &Server) -> Result<()> {
        let Some(target) = self.targets.first().filter(|target| self.is_whole && target.next_post > FIRST_POST) else {
            return Ok(());
        };
        let from = Template::start_of(target.next_post - 1, self.points);
        let path = format!("{}?fromDeltaTime={from}", target.series.path);
        let answer = Client::connect(server.address())?.call("GET", &path, &target.series.token, None)?;
        let rows = answer.get("points").and_then(Value::as_array).map_or(0, Vec::len);
        if rows == self.points {
            return Ok(());
        }
        let text = format!("{rows} points of the {} that were acknowledged", self.points);
        Err(BenchError::Unexpected { request: format!("GET {path}"), text })
    }
}

impl Load for Writer {
    fn next(&mut self, connection: usize, out: &mut Vec<u8>) {
        let index = self.target_of(connection);
        let Some(target) = self.targets.get_mut(index) else { return };
        let post = target.next_post.to_string();
        target.next_post += 1;
        let body_bytes = self.template(post.len()).body_bytes();
        let Some(target) = self.targets.get_mut(index) else { return };
        if target.head_is_for_bytes != body_bytes {
            target.head = head("POST", &target.series.path, &target.series.token, body_bytes).into_bytes();
            target.head_is_for_bytes = body_bytes;
        }
        out.extend_from_slice(&target.head);
        self.template(post.len()).write(post.as_bytes(), out);
    }

    fn items_per_request(&self) -> u64 {
        u64::try_from(self.points).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(points: usize, connections: usize, series: usize) -> Writer {
        let target = |index: usize| Target {
            series: Series {
                path: format!("/u/events/{index}/series"),
                event: format!("/u/events/{index}"),
                token: "t".to_owned(),
            },
            next_post: FIRST_POST,
            head: Vec::new(),
            head_is_for_bytes: 0,
        };
        Writer {
            points,
            connections,
            targets: (0..series).map(target).collect(),
            turns: vec![0; connections],
            template: Vec::new(),
            is_whole: true,
        }
    }

    fn post(writer: &mut Writer, connection: usize) -> (String, Vec<f64>) {
        let mut out = Vec::new();
        writer.next(connection, &mut out);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        let json: Value = serde_json::from_str(body).unwrap();
        let times = json["points"].as_array().unwrap().iter().map(|row| row[0].as_f64().unwrap()).collect();
        (head.split(' ').nth(1).unwrap().to_owned(), times)
    }

    #[test]
    fn the_points_of_a_series_continue_from_post_to_post_without_overlap() {
        for points in [1, 10, 77, 1_000] {
            let mut writer = writer(points, 1, 1);
            let (_, first) = post(&mut writer, 0);
            let (_, second) = post(&mut writer, 0);
            assert_eq!((first.len(), second.len()), (points, points));
            let times: Vec<f64> = first.into_iter().chain(second).collect();
            assert!(times.is_sorted_by(|one, next| one < next), "{points} points");
        }
    }

    #[test]
    fn a_post_number_with_more_digits_gets_a_body_of_its_own() {
        let mut writer = writer(10, 1, 1);
        writer.targets[0].next_post = 9_999;
        let last = post(&mut writer, 0).1.last().copied().unwrap();
        let next = post(&mut writer, 0).1.first().copied().unwrap();
        assert_eq!((last, next), (99_999.0, 100_000.0));
    }

    #[test]
    fn each_connection_writes_its_share_of_the_series_in_turn() {
        let mut writer = writer(1, 2, 5);
        let mut paths = |connection| -> Vec<String> { (0..4).map(|_| post(&mut writer, connection).0).collect() };
        assert_eq!(paths(0), ["/u/events/0/series", "/u/events/2/series", "/u/events/4/series", "/u/events/0/series"]);
        assert_eq!(paths(1), ["/u/events/1/series", "/u/events/3/series", "/u/events/1/series", "/u/events/3/series"]);
    }
}
