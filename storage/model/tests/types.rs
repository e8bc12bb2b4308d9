//! The catalogue of event types.

use model::types::{Catalogue, CatalogueError, ContentError, LeafKind, SeriesTypeError};
use serde_json::{Value, json};

fn problem_codes(catalogue: &Catalogue, kind: &str, content: Option<Value>) -> Vec<String> {
    match catalogue.check_content(kind, content.as_ref()) {
        Ok(()) => Vec::new(),
        Err(ContentError::Problems(problems)) => problems.into_iter().map(|problem| problem.code).collect(),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn the_bundled_list_has_334_types_and_all_compile() {
    let catalogue = Catalogue::bundled();
    assert_eq!(catalogue.len(), 334);
    assert_eq!(catalogue.merged(&json!({"types": {}})).unwrap().len(), 334);
}

#[test]
fn content_is_checked_for_known_types_only() {
    let catalogue = Catalogue::bundled();
    let none = Vec::<String>::new();
    for (kind, content, codes) in [
        ("mass/kg", Some(json!(70)), vec![]),
        ("mass/kg", Some(json!("70")), vec!["INVALID_TYPE"]),
        ("mass/kg", None, vec!["INVALID_TYPE"]),
        ("activity/plain", None, vec![]),
        ("activity/plain", Some(json!({})), vec!["INVALID_TYPE"]),
        ("picture/attached", None, vec![]),
        ("picture/attached", Some(json!("x")), vec!["INVALID_TYPE"]),
        ("money/chf", Some(json!(-1.5)), vec![]),
        ("mood/rating", Some(json!(1.1)), vec!["MAXIMUM"]),
        ("symptoms/severity", Some(json!("dire")), vec!["ENUM_MISMATCH"]),
        ("note/webclip", Some(json!({"url": "ftp://x"})), vec!["PATTERN"]),
        ("note/webclip", Some(json!("x")), vec!["INVALID_TYPE"]),
        (
            "position/wgs84",
            Some(json!({"latitude": "a", "altitude": 1})),
            vec!["OBJECT_MISSING_REQUIRED_PROPERTY", "INVALID_TYPE"],
        ),
        ("nobody/knows", Some(json!([1, {}])), vec![]),
        ("email/string", Some(json!(1)), vec![]),
        ("numset/anything", Some(json!("free")), vec![]),
    ] {
        assert_eq!(problem_codes(&catalogue, kind, content.clone()), codes, "{kind} {content:?}");
    }
    assert_eq!(problem_codes(&catalogue, "note/txt", Some("x".repeat(4_194_304).into())), none);
    assert_eq!(problem_codes(&catalogue, "note/txt", Some("x".repeat(4_194_305).into())), ["MAX_LENGTH"]);
}

#[test]
fn the_content_of_a_series_is_written_by_the_server() {
    let catalogue = Catalogue::bundled();
    assert_eq!(catalogue.check_content("series:mass/kg", None), Ok(()));
    assert_eq!(catalogue.check_content("series:mass/kg", Some(&Value::Null)), Ok(()));
    assert_eq!(catalogue.check_content("series:mass/kg", Some(&json!({}))), Err(ContentError::SeriesContent));
    let unknown = catalogue.check_content("series:foo/bar", None);
    assert_eq!(unknown, Err(ContentError::UnknownSeriesType("series:foo/bar".into())));
    assert_eq!(
        catalogue.series_content("mass/kg"),
        Ok(json!({"elementType": "mass/kg", "fields": ["deltaTime", "value"], "required": ["deltaTime", "value"]}))
    );
    assert_eq!(
        catalogue.series_content("position/wgs84"),
        Ok(json!({"elementType": "position/wgs84",
            "fields": ["deltaTime", "latitude", "longitude", "altitude", "horizontalAccuracy", "verticalAccuracy", "speed", "bearing"],
            "required": ["deltaTime", "latitude", "longitude"]}))
    );
    assert_eq!(catalogue.series_content("foo/bar"), Err(SeriesTypeError::Unknown("foo/bar".into())));
}

#[test]
fn columns_have_the_kind_of_their_leaf() {
    let catalogue = Catalogue::bundled();
    let kinds = |element: &str| -> Vec<(String, LeafKind, bool)> {
        let series = catalogue.series_columns(element).unwrap();
        series.fields.into_iter().map(|field| (field.name, field.kind, field.required)).collect()
    };
    let value = |kind| vec![("value".to_owned(), kind, true)];
    assert_eq!(kinds("boolean/bool"), value(LeafKind::Boolean));
    assert_eq!(kinds("note/txt"), value(LeafKind::Text));
    assert_eq!(kinds("activity/plain"), value(LeafKind::Null));
    assert_eq!(kinds("music/soundcloud"), [("id".to_owned(), LeafKind::Other("integer".into()), true)]);
    assert!(
        kinds("music/basic").iter().all(|(_, _, required)| !required),
        "no list of required fields is an empty one"
    );
    assert!(kinds("message/facebook").contains(&("from".to_owned(), LeafKind::Other("object".into()), false)));
}

#[test]
fn another_list_is_merged_deeply_over_the_bundled_one() {
    let other = json!({"types": {
        "mass/kg": {"minimum": 0},
        "my-class/composite": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]},
        "contact/facebook": {"additionalProperties": "true"}
    }});
    let catalogue = Catalogue::bundled().merged(&other).unwrap();
    assert_eq!(catalogue.len(), 335);
    assert_eq!(problem_codes(&catalogue, "mass/kg", Some(json!(-1))), ["MINIMUM"]);
    assert_eq!(problem_codes(&catalogue, "mass/kg", Some(json!("1"))), ["INVALID_TYPE"]);
    assert_eq!(problem_codes(&catalogue, "my-class/composite", Some(json!({}))), ["OBJECT_MISSING_REQUIRED_PROPERTY"]);
}

#[test]
fn a_list_with_one_broken_type_is_refused_as_a_whole() {
    let broken =
        Catalogue::bundled().merged(&json!({"types": {"a/b": {"type": "nonsense"}, "c/d": {"type": "number"}}}));
    let Err(CatalogueError::Type { name, .. }) = broken else { panic!("accepted") };
    assert_eq!(name, "a/b");
    assert!(matches!(Catalogue::bundled().merged(&json!({"types": 1})), Err(CatalogueError::NoTypes)));
}
