//! Schema checks and the form in which problems are told.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use model::schema::{Problem, Schema, SchemaError};
use serde_json::{Value, json};

fn problems(schema: Value, value: Value) -> Value {
    match Schema::compile(&schema).unwrap().check(&value) {
        Ok(()) => json!([]),
        Err(problems) => problems.iter().map(Problem::to_json).collect(),
    }
}

#[test]
fn every_keyword_reports_its_code_params_message_and_path() {
    for (schema, value, code, params, message, path) in [
        (json!({"type": "string"}), json!(1), "INVALID_TYPE", json!([["string"]]), "must be string", "#"),
        (
            json!({"type": ["string", "null"]}),
            json!(1),
            "INVALID_TYPE",
            json!([["string", "null"]]),
            "must be string,null",
            "#",
        ),
        (
            json!({"required": ["a"]}),
            json!({}),
            "OBJECT_MISSING_REQUIRED_PROPERTY",
            json!(["a"]),
            "must have required property 'a'",
            "#/",
        ),
        (json!({"pattern": "^a+$"}), json!("b"), "PATTERN", json!(["^a+$"]), "must match pattern \"^a+$\"", "#"),
        (json!({"minLength": 2}), json!("é"), "MIN_LENGTH", json!([2]), "must NOT have fewer than 2 characters", "#"),
        (json!({"maxLength": 1}), json!("éé"), "MAX_LENGTH", json!([1]), "must NOT have more than 1 characters", "#"),
        (
            json!({"enum": [1, "x"]}),
            json!("y"),
            "ENUM_MISMATCH",
            json!([[1, "x"]]),
            "must be equal to one of the allowed values",
            "#",
        ),
        (json!({"format": "email"}), json!("y"), "FORMAT", json!(["email"]), "must match format \"email\"", "#"),
        (json!({"minimum": 0}), json!(-0.5), "MINIMUM", json!([0]), "must be >= 0", "#"),
        (json!({"maximum": 1}), json!(1.5), "MAXIMUM", json!([1]), "must be <= 1", "#"),
        (
            json!({"minimum": 0, "exclusiveMinimum": true}),
            json!(0),
            "MINIMUM_EXCLUSIVE",
            json!([0]),
            "must be > 0",
            "#",
        ),
        (json!({"exclusiveMaximum": 1}), json!(1), "MAXIMUM_EXCLUSIVE", json!([1]), "must be < 1", "#"),
        (json!({"multipleOf": 2}), json!(3), "MULTIPLE_OF", json!([2]), "must be multiple of 2", "#"),
        (json!({"minItems": 1}), json!([]), "ARRAY_LENGTH_SHORT", json!([1]), "must NOT have fewer than 1 items", "#"),
        (
            json!({"maxItems": 1}),
            json!([1, 2]),
            "ARRAY_LENGTH_LONG",
            json!([1]),
            "must NOT have more than 1 items",
            "#",
        ),
        (
            json!({"uniqueItems": true}),
            json!([1, 2, 1]),
            "ARRAY_UNIQUE",
            json!([0, 2]),
            "must NOT have duplicate items (items ## 0 and 2 are identical)",
            "#",
        ),
        (
            json!({"additionalProperties": false}),
            json!({"x": 1}),
            "OBJECT_ADDITIONAL_PROPERTIES",
            json!(["x"]),
            "must NOT have additional properties",
            "#",
        ),
        (json!({"not": {"type": "null"}}), json!(null), "NOT_PASSED", json!([]), "must NOT be valid", "#"),
        (json!({"const": 1}), json!(2), "VALUE_NOT_EQUAL", json!([1]), "must be equal to constant", "#"),
        (
            json!({"minProperties": 1}),
            json!({}),
            "MINPROPERTIES",
            json!([1]),
            "must NOT have fewer than 1 properties",
            "#",
        ),
        (
            json!({"properties": {"a/b": {"items": {"type": "null"}}}}),
            json!({"a/b": [null, 1]}),
            "INVALID_TYPE",
            json!([["null"]]),
            "must be null",
            "#/a~1b/1",
        ),
        (
            json!({"properties": {"a": {"required": ["b"]}}}),
            json!({"a": {}}),
            "OBJECT_MISSING_REQUIRED_PROPERTY",
            json!(["b"]),
            "must have required property 'b'",
            "#/a/",
        ),
    ] {
        let expected = json!([{"code": code, "params": params, "message": message, "path": path}]);
        assert_eq!(problems(schema.clone(), value), expected, "{schema}");
    }
}

#[test]
fn all_problems_are_reported_not_only_the_first() {
    let schema = json!({"type": "object", "additionalProperties": false, "required": ["type", "streamIds"],
        "properties": {"type": {"type": "string"}, "streamIds": {"type": "array"}, "time": {"type": "number"}}});
    let found = problems(schema, json!({"streamIds": "x", "time": "y", "extra": 1}));
    let codes: Vec<&str> = found.as_array().unwrap().iter().map(|problem| problem["code"].as_str().unwrap()).collect();
    assert_eq!(
        codes,
        ["OBJECT_MISSING_REQUIRED_PROPERTY", "OBJECT_ADDITIONAL_PROPERTIES", "INVALID_TYPE", "INVALID_TYPE"]
    );
}

#[test]
fn alternatives_tell_what_each_branch_misses() {
    let schema = json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    let codes = |value| {
        let found = problems(schema.clone(), value);
        found.as_array().unwrap().iter().map(|problem| problem["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes(json!({"a": 1})), [""; 0]);
    assert_eq!(codes(json!({"a": 1, "b": 1})), ["ONE_OF_MISSING"]);
    assert_eq!(codes(json!({})).last().unwrap(), "ONE_OF_MISSING");
    assert_eq!(codes(json!({})).len(), 3);
    assert_eq!(problems(json!({"anyOf": [{"type": "null"}]}), json!(1))[1]["code"], "ANY_OF_MISSING");
}

#[test]
fn fields_with_custom_messages_name_themselves_and_lose_the_params() {
    let username = json!({"type": "string", "pattern": "^[a-z]{5,}$", "messages": {
        "PATTERN": {"code": "username-invalid", "message": "Bad name"},
        "OBJECT_MISSING_REQUIRED_PROPERTY": {"code": "username-required", "message": "Name missing"}}});
    let schema = json!({"required": ["username"], "properties": {"username": username}});
    assert_eq!(
        problems(schema.clone(), json!({"username": "A"})),
        json!([{"code": "username-invalid", "message": "Bad name", "path": "#/username", "param": "username"}])
    );
    assert_eq!(
        problems(schema.clone(), json!({})),
        json!([{"code": "username-required", "message": "Name missing", "path": "#/", "param": "username"}])
    );
    assert_eq!(
        problems(schema, json!({"username": 1})),
        json!([{"code": "INVALID_TYPE", "message": "must be string", "path": "#/username", "param": "username"}])
    );
}

#[test]
fn whole_numbers_are_integers_however_they_are_written() {
    let integer = json!({"type": "integer"});
    assert_eq!(problems(integer.clone(), json!(2.0)), json!([]));
    assert_eq!(problems(integer, json!(2.5))[0]["message"], "must be integer");
    assert_eq!(problems(json!({"type": "number"}), json!("2"))[0]["code"], "INVALID_TYPE", "nothing is coerced");
}

#[test]
fn references_work_inside_the_document_and_may_be_recursive() {
    let schema = json!({"definitions": {"tree": {"type": "object", "properties": {"child": {"$ref": "#/definitions/tree"}}}},
        "$ref": "#/definitions/tree"});
    assert_eq!(problems(schema.clone(), json!({"child": {"child": {}}})), json!([]));
    assert_eq!(problems(schema, json!({"child": {"child": 1}}))[0]["path"], "#/child/child");
    let outside = Schema::compile(&json!({"$ref": "http://example.com/x"}));
    assert!(matches!(outside, Err(SchemaError::Reference { .. })));
    assert_eq!(problems(json!({"$ref": "#"}), json!(1)), json!([]), "a schema that is only itself ends");
}

#[test]
fn a_schema_that_is_none_is_refused() {
    for schema in [
        json!({"type": "text"}),
        json!({"pattern": "("}),
        json!({"properties": []}),
        json!({"minLength": -1}),
        json!(5),
    ] {
        assert!(Schema::compile(&schema).is_err(), "{schema}");
    }
    assert!(
        Schema::compile(&json!({"additionalProperties": "true", "unknown": 1})).is_ok(),
        "lenient where published types need it"
    );
}

#[test]
fn a_pattern_made_to_run_for_ever_just_does_not_match() {
    let found = problems(json!({"pattern": "^(?=(a+)+$)(a+)+\\2b$"}), json!("a".repeat(60)));
    assert_eq!(found[0]["code"], "PATTERN");
}

#[test]
fn the_number_of_reported_problems_is_bounded() {
    let many: Vec<Value> = (0..5_000).map(Value::from).collect();
    let found = problems(json!({"items": {"type": "string"}}), many.into());
    assert_eq!(found.as_array().unwrap().len(), 1_000);
}
