//! What only a server in another process brings: it goes away, it comes back, others migrate, locks last too long.

use std::io::{BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;
use std::time::Duration;

use model::{Event, EventsQuery, Right, SlotId};
use storage::StoreError;
use storage::base::{BaseStore, Read, ReadCall, Write};
use storage::postgres::{OpenError, PostgresConfig, PostgresStore};

use crate::common::{call, event, every, grant, in_batch, wait};
use crate::home::{Home, Place};
use crate::server::{Database, TokioThread, shared};

/// A server that this test alone stops and starts.
fn own_server() -> Option<(Arc<Database>, Home)> {
    let database = Arc::new(Database::start()?);
    let home = Home::open(Place::Schema(Arc::clone(&database), database.fresh_schema()), false);
    home.create_user("u1");
    Some((database, home))
}

fn create(home: &Home, id: &str) -> Result<(), StoreError> {
    home.write("u1", Write::CreateEvent { event: Box::new(event(id, 1.0, &["s"])) }).map(drop)
}

/// Waits for what must come, however slow the machine is.
fn at_last(mut is_there: impl FnMut() -> bool) {
    const TRIES_MAX: u32 = 1_200;
    let comes = (0..TRIES_MAX).any(|_| {
        let is_there = is_there();
        if !is_there {
            std::thread::sleep(Duration::from_millis(50));
        }
        is_there
    });
    assert!(comes, "it did not come in a minute");
}

/// Tries until the engine is back; each refusal must be the one that says so.
fn create_at_last(home: &Home, id: &str) {
    at_last(|| match create(home, id) {
        Ok(()) => true,
        Err(StoreError::Unavailable(_)) => false,
        Err(error) => panic!("{error}"),
    });
}

#[test]
fn a_server_that_was_away_is_used_again_without_a_restart_and_nothing_acknowledged_is_lost() {
    let Some((database, home)) = own_server() else { return };
    create(&home, "before").unwrap();
    for (down, id) in [("stop", "after-stop"), ("kill", "after-kill")] {
        database.order(down);
        for _ in 0..3 {
            assert!(matches!(create(&home, "refused"), Err(StoreError::Unavailable(_))));
            assert!(matches!(home.read("u1", Read::Space), Err(StoreError::Unavailable(_))));
        }
        database.order("start");
        create_at_last(&home, id);
    }
    assert_eq!(home.events("u1", &every()).len(), 3);
}

#[test]
fn connections_that_the_server_has_closed_are_replaced() {
    let Some((database, home)) = own_server() else { return };
    for round in 0..3 {
        create(&home, &format!("e{round}")).unwrap();
        let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'coreward'";
        assert!(!database.psql(end).is_empty());
        create_at_last(&home, &format!("f{round}"));
    }
    assert_eq!(home.events("u1", &every()).len(), 6);
}

#[test]
fn the_end_of_a_batch_tells_whether_its_writes_are_stored() {
    let Some((database, home)) = own_server() else { return };
    let batch = wait(home.store.batch(SlotId(0))).unwrap();
    let write = |id: &str| {
        let write = Write::CreateEvent { event: Box::new(event(id, 1.0, &["s"])) };
        wait(home.store.write(in_batch(call("u1", write), batch)))
    };
    write("a").unwrap();
    database.order("kill");
    drop(write("b"));
    let end = wait(home.store.batch_end(SlotId(0), batch));
    database.order("start");
    create_at_last(&home, "c");
    // The part with `a` may have been committed before the kill.
    match end {
        Ok(()) => assert!(home.event("u1", "a").is_some()),
        Err(StoreError::Unavailable(_)) => assert!(home.event("u1", "b").is_none()),
        Err(error) => panic!("{error}"),
    }
}

/// An operator's session that holds all accounts until its input ends.
fn locked(database: &Database, schema: &str) -> (Child, ChildStdin) {
    let mut operator = database.psql_command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = operator.stdin.take().unwrap();
    writeln!(input, "BEGIN; LOCK TABLE {schema}.account; SELECT 'locked';").unwrap();
    let mut said = BufReader::new(operator.stdout.take().unwrap());
    while crate::server::line(&mut said) != "locked" {}
    (operator, input)
}

fn release(mut operator: Child, input: ChildStdin) {
    drop(input);
    operator.wait().unwrap();
}

#[test]
fn a_statement_that_takes_too_long_is_given_up_and_the_engine_goes_on() {
    let Some(home) = Home::postgres() else { return };
    home.create_user("u1");
    let Place::Schema(database, schema) = &home.place else { return };
    let config = PostgresConfig { statement_timeout: Duration::from_secs(3), ..database.config(schema) };
    let store = PostgresStore::open(&config, TokioThread::start()).unwrap();
    let read = || wait(store.read(ReadCall { grant: grant("u1", Right::Read), read: Read::Space, batch: None }));
    read().unwrap();
    let (operator, input) = locked(database, schema);
    assert!(matches!(read(), Err(StoreError::Unavailable(_))));
    release(operator, input);
    read().unwrap();
}

#[test]
fn a_server_that_does_not_answer_is_given_up_until_it_does() {
    let Some((database, home)) = own_server() else { return };
    let Place::Schema(_, schema) = &home.place else { return };
    let config = PostgresConfig { statement_timeout: Duration::from_millis(100), ..database.config(schema) };
    let store = PostgresStore::open(&PostgresConfig { connections_max: 1, ..config }, TokioThread::start()).unwrap();
    let read = || wait(store.read(ReadCall { grant: grant("u1", Right::Read), read: Read::Space, batch: None }));
    at_last(|| read().is_ok());
    database.order("freeze");
    assert!(matches!(read(), Err(StoreError::Unavailable(_))));
    database.order("thaw");
    at_last(|| read().is_ok());
}

#[test]
fn commands_beyond_the_queue_or_the_connections_are_told_that_the_store_is_busy() {
    let Some(home) = Home::postgres() else { return };
    home.create_user("u1");
    let Place::Schema(database, schema) = &home.place else { return };
    let open = |queue, wait_timeout| {
        let config = PostgresConfig { connections_max: 1, queue, wait_timeout, ..database.config(schema) };
        PostgresStore::open(&config, TokioThread::start()).unwrap()
    };
    let patient = Duration::from_secs(120);
    let stores = [open(1, patient), open(8, Duration::from_millis(200))];
    let ask = |store: &PostgresStore| {
        store.read(ReadCall { grant: grant("u1", Right::Read), read: Read::Event { id: "a".into() }, batch: None })
    };
    for store in &stores {
        wait(ask(store)).unwrap();
    }
    let (operator, input) = locked(database, schema);
    let waiting = stores.each_ref().map(|store| {
        let (first, second) = (ask(store), ask(store));
        assert_eq!(wait(second).unwrap_err(), StoreError::Busy);
        first
    });
    release(operator, input);
    let outcomes = waiting.map(wait);
    assert!(outcomes[0].is_ok(), "{outcomes:?}");
    for store in &stores {
        wait(ask(store)).unwrap();
    }
}

#[test]
fn several_programs_may_make_the_tables_at_the_same_time() {
    let Some(database) = shared() else { return };
    let config = database.config(&database.fresh_schema());
    let open = || PostgresStore::open(&config, TokioThread::start()).unwrap();
    let stores: Vec<_> = (0..4).map(|_| open()).collect();
    let replies: Vec<_> = stores
        .iter()
        .map(|store| store.read(ReadCall { grant: grant("u1", Right::Read), read: Read::Space, batch: None }))
        .collect();
    for reply in replies {
        assert_eq!(wait(reply).unwrap_err(), StoreError::NotFound);
    }
}

#[test]
fn tables_of_a_newer_program_or_of_another_number_of_slots_are_refused_with_the_remedy() {
    let Some(database) = shared() else { return };
    let schema = database.fresh_schema();
    let ask = |slots| {
        let store = PostgresStore::open(&PostgresConfig { slots, ..database.config(&schema) }, TokioThread::start());
        let read = ReadCall { grant: grant("u1", Right::Read), read: Read::Space, batch: None };
        wait(store.unwrap().read(read)).unwrap_err().to_string()
    };
    assert_eq!(ask(4), StoreError::NotFound.to_string());
    assert!(ask(2).contains("made for 4 slots"));
    database.psql(&format!("UPDATE {schema}.meta SET value = 1000 WHERE name = 'schema_version'"));
    assert!(ask(4).contains("start a newer program"));
}

#[test]
fn a_schema_name_that_needs_quotes_is_refused() {
    for name in ["", "a b", "a\"", "1a", "Ä", "x; DROP TABLE event"] {
        let config = PostgresConfig { schema: name.into(), ..PostgresConfig::default() };
        assert!(matches!(PostgresStore::open(&config, TokioThread::start()), Err(OpenError::SchemaName(_))), "{name}");
    }
}

#[test]
fn the_password_is_shown_nowhere() {
    let password = storage::postgres::Password("secret".into());
    assert!(!format!("{:?}", PostgresConfig { password, ..PostgresConfig::default() }).contains("secret"));
}

/// The rows of `event` and `event_stream` that were read by scans of the whole table.
fn scanned(database: &Database, schema: &str) -> String {
    // A backend reports what it did before it is gone.
    let busy = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'coreward'";
    at_last(|| database.psql(busy).is_empty());
    let sql = format!(
        "SELECT relname, seq_tup_read FROM pg_stat_user_tables
         WHERE schemaname = '{schema}' AND relname IN ('event', 'event_stream') ORDER BY 1"
    );
    database.psql(&sql).join(" ")
}

#[test]
fn no_shape_of_query_scans_all_events() {
    let Some((database, home)) = own_server() else { return };
    let Place::Schema(_, schema) = &home.place else { return };
    for user in ["u2", "u3", "u4"] {
        home.create_user(user);
    }
    database.psql(&format!(
        "SET search_path = {schema};
         INSERT INTO event (owner, id, streams, time, end_time, duration, kind, content, trashed, created, created_by,
             modified, modified_by)
         SELECT a.row, 'e' || n, '[\"s' || n % 20 || '\"]', n, CASE WHEN n % 500 = 0 THEN NULL ELSE n + n % 3 END,
             NULLIF(n % 3, 0), 'kind/k' || n % 10, 'true', n % 100 = 1, n, 'system', n, 'system'
         FROM account a, generate_series(1, 20000) n;
         INSERT INTO event_stream (owner, stream, time, event)
         SELECT owner, trim(both '[]\"' from streams), time, row FROM event;
         ANALYZE"
    ));
    home.store.close();
    let before = scanned(&database, schema);
    let home = home.reopened();
    let kind = vec![model::query::TypeFilter::Exact("kind/k3".into())];
    let queries = [
        EventsQuery { limit: Some(20), ..every() },
        EventsQuery { from: Some(500.0), to: Some(900.0), running_pass_from: true, ..every() },
        EventsQuery { from: Some(19_000.0), ascending: true, limit: Some(20), ..every() },
        EventsQuery { limit: Some(20), ..super::pages::in_streams(&["s3"]) },
        EventsQuery { limit: Some(20), ..super::pages::in_streams(&["s3", "s4", "s5"]) },
        EventsQuery { from: Some(500.0), to: Some(900.0), ..super::pages::in_streams(&["s3"]) },
        EventsQuery { types: kind, limit: Some(20), ..every() },
        EventsQuery { modified_since: Some(19_900.0), ..every() },
        EventsQuery { only_running: true, ..every() },
        EventsQuery { state: model::query::TrashState::Trashed, ..every() },
    ];
    for query in queries {
        let found: Vec<_> = home.events("u1", &query);
        assert!(!found.is_empty(), "{query:?}");
    }
    home.store.write(call("u1", Write::CreateEvent { event: Box::new(Event { ..event("new", 1.0, &["s1"]) }) }));
    let Place::Schema(_, schema) = &home.place else { return };
    home.store.close();
    assert_eq!(scanned(&database, schema), before);
}
