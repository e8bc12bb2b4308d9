//! The parameters of `events.get` as clients send them.

use model::query::{Condition, Test, TypeFilter};
use model::query_input::{
    InputError, STREAM_QUERIES_MAX, StreamQuery, matches, parse_conditions, parse_streams, parse_type,
};
use serde_json::{Value, json};

fn any(ids: &[&str]) -> StreamQuery {
    StreamQuery { any: ids.iter().map(|id| (*id).to_owned()).collect(), ..StreamQuery::default() }
}

#[test]
fn ids_queries_and_their_json_text_mean_the_same() {
    let expected = vec![any(&["A", "D"])];
    for sent in [
        json!(["A", "D"]),
        json!("[\"A\",\"D\"]"),
        json!({"any": ["A", "D"]}),
        json!("{\"any\":[\"A\",\"D\"]}"),
        json!([{"any": ["A", "D"]}]),
    ] {
        assert_eq!(parse_streams(&sent, true).as_ref(), Ok(&expected), "{sent}");
    }
    assert_eq!(parse_streams(&json!("diary"), false), Ok(vec![any(&["diary"])]));
    assert_eq!(parse_streams(&json!([]), false), Ok(vec![]));
    let or = json!([{"any": ["A"], "not": ["B!"]}, {"any": ["*"]}]);
    assert_eq!(parse_streams(&or, true).map(|queries| queries.len()), Ok(2));
}

#[test]
fn plain_ids_are_grouped_by_store() {
    let sent = json!(["A", ":_audit:access-x", "B", ":system:email"]);
    let expected = vec![any(&["A", "B"]), any(&[":_audit:access-x"]), any(&[":system:email"])];
    assert_eq!(parse_streams(&sent, false), Ok(expected));
}

#[test]
fn each_mistake_is_named_as_clients_know_it() {
    for (sent, fragment) in [
        (json!(["A", {"any": ["B"]}]), "streams queries and streamIds cannot be mixed"),
        (json!({"all": ["A"]}), "must contain at least one of 'any'"),
        (json!({"any": ["A"], "some": []}), "unknown property"),
        (json!({"any": "*"}), "must be an array"),
        (json!({"any": true}), "must be an array"),
        (json!({"any": ["A"], "not": "B"}), "must be an array"),
        (json!({"any": [1]}), "must be streamIds"),
        (json!("#*"), "is not valid"),
        (json!({"any": ["#*"]}), "is not valid"),
        (json!("a'b"), "forbidden character"),
        (json!({"any": ["a"], "all": ["a\u{1a}b"]}), "forbidden character"),
        (json!({"any": ["A"], "all": ["*"]}), "only 'any' can contain '*'"),
        (json!({"any": ["A"], "not": ["*"]}), "only 'any' can contain '*'"),
        (json!({"any": ["*", "A"]}), "'*' cannot be mixed with other streamIds in 'any'"),
        (json!(["*", "A"]), "'*' cannot be mixed with other streamIds in 'any'"),
        (json!({"any": ["*"], "all": ["A"]}), "'*'} cannot be mixed with 'all'"),
        (json!({"any": ["A", ":_audit:x"]}), "queries must me grouped by store"),
        (json!("{any: 1"), "should be an array of streamIds or JSON logical query"),
        (json!([null]), ""),
    ] {
        let error = parse_streams(&sent, true).unwrap_err();
        assert!(error.to_string().contains(fragment), "{sent}: {error}");
        assert_eq!((error.pryv_id(), error.data()), ("invalid-request-structure", Some(&sent)));
    }
}

#[test]
fn some_mistakes_come_without_data() {
    let empty = parse_streams(&json!({"any": []}), true).unwrap_err();
    assert!(empty.to_string().contains("must have a valid {any: [...]} component") && empty.data().is_none());
    let nested_keys = parse_streams(&json!([{"any": ["A"]}]), false).unwrap_err();
    assert!(nested_keys.to_string().contains("should be an array of streamIds or JSON logical query"));
    assert!(nested_keys.data().is_none());
}

#[test]
fn types_are_exact_or_a_class_with_a_star() {
    assert_eq!(parse_type("mass/kg"), Some(TypeFilter::Exact("mass/kg".into())));
    assert_eq!(parse_type("mass/*"), Some(TypeFilter::Class("mass/".into())));
    assert_eq!(parse_type("series:mass/*"), Some(TypeFilter::Class("series:mass/".into())));
    for bad in ["activity/asd asd", "mass", "*/kg", "mass/", "/kg", "Mass/kg", "a/b/c", "series:/x", "mass/k*"] {
        assert_eq!(parse_type(bad), None, "{bad}");
    }
}

fn conditions(sent: Value) -> Result<Vec<Condition>, InputError> {
    parse_conditions("content", &sent)
}

#[test]
fn conditions_are_read_from_an_array_or_its_text() {
    let expected = vec![Condition { path: vec!["a".into(), "b_c:d-e".into()], test: Test::Greater(1.5) }];
    assert_eq!(conditions(json!([{"path": "a.b_c:d-e", "gt": 1.5}])), Ok(expected.clone()));
    assert_eq!(conditions(json!("[{\"path\": \"a.b_c:d-e\", \"gt\": 1.5}]")), Ok(expected));
    assert_eq!(conditions(json!([{"path": "$", "eq": true}])).unwrap()[0].path, Vec::<String>::new());
}

#[test]
fn bad_conditions_name_their_parameter() {
    let eleven: Vec<Value> = (0..11).map(|n| json!({"path": "a", "eq": n})).collect();
    let hundred_and_one: Vec<Value> = (0..101).map(Value::from).collect();
    for sent in [
        json!("not json"),
        json!({}),
        json!([1]),
        eleven.into(),
        json!([{"path": "a..b", "eq": 1}]),
        json!([{"path": "", "eq": 1}]),
        json!([{"path": "a[0]", "eq": 1}]),
        json!([{"eq": 1}]),
        json!([{"path": "a"}]),
        json!([{"path": "a", "eq": 1, "gt": 0}]),
        json!([{"path": "a", "like": "x"}]),
        json!([{"path": "a", "eq": null}]),
        json!([{"path": "a", "neq": []}]),
        json!([{"path": "a", "in": []}]),
        json!([{"path": "a", "in": hundred_and_one}]),
        json!([{"path": "a", "in": [null]}]),
        json!([{"path": "a", "exists": 1}]),
        json!([{"path": "a", "gt": "1"}]),
        json!([{"path": "a", "prefix": ""}]),
    ] {
        let error = conditions(sent.clone()).unwrap_err();
        assert_eq!((error.pryv_id(), error.data()), ("invalid-parameters-format", Some(&json!("content"))), "{sent}");
    }
}

#[test]
fn conditions_compare_strictly_by_json_type() {
    let data = json!({"n": 1, "t": "1", "b": true, "z": null, "o": {"k": "value"}, "list": [{"k": 1}]});
    for (condition, expected) in [
        (json!({"path": "n", "eq": 1.0}), true),
        (json!({"path": "n", "eq": "1"}), false),
        (json!({"path": "b", "eq": 1}), false),
        (json!({"path": "t", "gt": 0}), false),
        (json!({"path": "n", "neq": 2}), true),
        (json!({"path": "gone", "neq": 2}), false),
        (json!({"path": "gone", "exists": false}), true),
        (json!({"path": "z", "exists": true}), true),
        (json!({"path": "o.k", "prefix": "val"}), true),
        (json!({"path": "o.k", "prefix": "Val"}), false),
        (json!({"path": "list.k", "exists": true}), false),
        (json!({"path": "n", "in": ["x", 1]}), true),
        (json!({"path": "n", "gte": 1}), true),
        (json!({"path": "n", "lt": 1}), false),
    ] {
        let parsed = conditions(json!([condition])).unwrap();
        assert_eq!(matches(&parsed[0], Some(&data)), expected, "{condition}");
    }
    let root = conditions(json!([{"path": "$", "gte": 70}])).unwrap();
    assert!(matches(&root[0], Some(&json!(71))) && !matches(&root[0], None));
}

#[test]
fn the_number_of_queries_and_of_their_conditions_is_bounded() {
    let queries: Vec<Value> = (0..101).map(|_| json!({"any": ["A"]})).collect();
    let ids: Vec<String> = (0..101).map(|n| format!("s{n}")).collect();
    for (sent, fragment) in
        [(json!(queries), "the maximum is 100"), (json!({"any": ["A"], "all": ids}), "the maximum is 100")]
    {
        let error = parse_streams(&sent, true).unwrap_err();
        assert!(error.to_string().contains(fragment), "{error}");
    }
    assert!(parse_streams(&json!(ids), true).is_ok(), "plain ids are one query");
}

#[test]
fn the_number_of_data_stores_that_ids_name_is_bounded() {
    let ids = |count: usize| (0..count).map(|n| Value::from(format!(":s{n}:x"))).collect::<Value>();
    assert_eq!(parse_streams(&ids(STREAM_QUERIES_MAX), true).unwrap().len(), STREAM_QUERIES_MAX);
    assert!(parse_streams(&ids(STREAM_QUERIES_MAX + 1), true).is_err());
}
