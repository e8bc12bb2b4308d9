//! What must happen once although many ask for it in the same moment.

use std::net::SocketAddr;
use std::sync::Barrier;

use serde_json::{Value, json};

use crate::account::{APP_ID, Account, PASSWORD};
use crate::error::Result;
use crate::http::{Client, Request};
use crate::report::Report;

const RUNNERS: usize = 16;
const ROUNDS: usize = 5;

pub(super) fn run(address: SocketAddr, report: &mut Report) -> Result<()> {
    let account = Account::register(address, "racer-home")?;
    account.create_stream("home")?;
    for race in RACES {
        for round in 0..ROUNDS {
            let statuses = race.run(&account, round);
            let won = statuses.iter().filter(|status| **status == 201).count();
            let lost = statuses.iter().filter(|status| **status == 409).count();
            let is_fair = won == 1 && won + lost == RUNNERS;
            report.check(
                &format!("race {}: {}", round + 1, race.title),
                is_fair,
                &format!("the answers: {statuses:?}"),
            );
        }
    }
    Ok(())
}

/// Simultaneous POSTs of which one may win.
struct Race {
    title: &'static str,
    /// Below the user, with the personal token; `None` is a registration.
    path: Option<&'static str>,
    /// For (round, runner).
    body: fn(usize, usize) -> Value,
}

const RACES: &[Race] = &[
    Race {
        title: "a user name is given once",
        path: None,
        body: |round, runner| user(&format!("name-{round}"), &format!("n{round}-{runner}")),
    },
    Race {
        title: "an e-mail address is given once",
        path: None,
        body: |round, runner| user(&format!("mail-{round}-{runner}"), &format!("m{round}")),
    },
    Race {
        title: "a stream id is given once",
        path: Some("/streams"),
        body: |round, runner| json!({ "id": format!("s{round}"), "name": format!("S {round} {runner}") }),
    },
    Race {
        title: "a stream name is given once among siblings",
        path: Some("/streams"),
        body: |round, _| json!({ "name": format!("N{round}") }),
    },
    Race {
        title: "an event id is given once",
        path: Some("/events"),
        body: |round, _| {
            let id = format!("crace{round}aaaaaaaaaaaaaaaaaa");
            json!({ "id": id, "streamIds": ["home"], "type": "note/txt", "content": "x" })
        },
    },
];

fn user(name: &str, mail: &str) -> Value {
    let (username, email) = (format!("racer-{name}"), format!("racer-{mail}@example.com"));
    json!({ "username": username, "password": PASSWORD, "email": email, "appId": APP_ID })
}

impl Race {
    /// The statuses of one round; 0 stands for a broken connection.
    fn run(&self, account: &Account, round: usize) -> Vec<u16> {
        let path = self.path.map_or_else(|| "/users".to_owned(), |rest| account.path(rest));
        let start = Barrier::new(RUNNERS);
        let run = |runner: usize| {
            let request = Request::new("POST", &path).json(&(self.body)(round, runner));
            let request = match self.path {
                Some(_) => request.token(&account.token),
                None => request,
            };
            start.wait();
            Client::new(account.address).send(&request).map_or(0, |reply| reply.status)
        };
        let run = &run;
        std::thread::scope(|scope| {
            let runners: Vec<_> = (0..RUNNERS).map(|runner| scope.spawn(move || run(runner))).collect();
            runners.into_iter().map(|runner| runner.join().unwrap_or_default()).collect()
        })
    }
}
