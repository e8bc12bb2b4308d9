//! The rules of spec 08 section 4 with their literal messages.
#![allow(clippy::indexing_slicing, reason = "helpers of tests; clippy.toml covers test functions only")]

use wire::flatjson::{CellKind, Cells, Field, FlatJsonError, Points, Schema, parse, parse_batch, parse_simple};

const COLUMNS: &str = "\"fields\" field must contain valid field names for the series type.";
const MATRIX: &str = "\"points\" matrix must contain correct data types according to series type.";

fn field(name: &str, kind: CellKind, required: bool) -> Field {
    Field { name: name.into(), kind, required }
}

fn schema_of(kind: CellKind) -> Schema {
    Schema { fields: vec![field("value", kind, true)] }
}

fn position() -> Schema {
    Schema {
        fields: vec![
            field("latitude", CellKind::Number, true),
            field("longitude", CellKind::Number, true),
            field("label", CellKind::Text, false),
            field("moving", CellKind::Boolean, false),
            field("speed", CellKind::Number, false),
            field("from", CellKind::Unsupported("object".into()), false),
        ],
    }
}

fn message(body: &str, schema: &Schema) -> String {
    match parse(body.as_bytes(), schema, 1000.5) {
        Err(FlatJsonError::Structure(message)) => message.into_owned(),
        other => panic!("{body} gave {other:?}"),
    }
}

fn points(body: &str, schema: &Schema) -> Points {
    parse(body.as_bytes(), schema, 1000.5).unwrap_or_else(|error| panic!("{body}: {error}"))
}

/// A post with the columns deltaTime and value.
fn post(rows: &str) -> String {
    format!(r#"{{"format":"flatJSON","fields":["deltaTime","value"],"points":[{rows}]}}"#)
}

fn values(kind: CellKind, cell: &str) -> Result<Cells, String> {
    match parse(post(&format!("[1,{cell}]")).as_bytes(), &schema_of(kind), 0.0) {
        Ok(points) => Ok(points.columns[0].cells.clone()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn checks_are_made_in_the_order_of_the_specification() {
    let schema = schema_of(CellKind::Number);
    for (body, expected) in [
        ("1", "flatJSON structure must be an object."),
        ("null", "flatJSON structure must be an object."),
        ("[]", "\"format\" field must contain the string \"flatJSON\"."),
        ("{}", "\"format\" field must contain the string \"flatJSON\"."),
        (r#"{"format":"flatjson","fields":5}"#, "\"format\" field must contain the string \"flatJSON\"."),
        (r#"{"format":["flatJSON"]}"#, "\"format\" field must contain the string \"flatJSON\"."),
        (r#"{"format":"flatJSON"}"#, "Field names must be a list."),
        (r#"{"format":"flatJSON","fields":{},"points":1}"#, "Field names must be a list."),
        (r#"{"format":"flatJSON","fields":["value",1],"points":1}"#, "Field names must be strings."),
        (r#"{"format":"flatJSON","fields":["x"]}"#, "\"points\" field must be a list of data points."),
        (r#"{"format":"flatJSON","fields":["x"],"points":{}}"#, "\"points\" field must be a list of data points."),
        (r#"{"format":"flatJSON","fields":["x"],"points":[5]}"#, COLUMNS),
        (r#"{"format":"flatJSON","fields":["deltaTime","value"],"points":[[1,null],[1]]}"#, MATRIX),
        (r#"{"format":"flatJSON","fields":["deltaTime","value"],"points":[[-1,2],[1,2,3]]}"#, MATRIX),
        (r#"{"format":"flatJSON","fields":["deltaTime","value"],"points":[[1,2],{"0":1,"1":2}]}"#, MATRIX),
        (r#"{"format":"flatJSON","fields":["deltaTime","value"],"points":[null]}"#, MATRIX),
    ] {
        assert_eq!(message(body, &schema), expected, "{body}");
    }
}

#[test]
fn syntax_errors_come_before_all_others() {
    for body in [
        "",
        "{",
        "x",
        "{}}",
        r#"{"format":"flatJSON",}"#,
        r#"{"fields":["x"],"points":[[01]]}"#,
        r#"{"fields":["x"],"points":[[1,]]}"#,
        r#"{"fields":["x"],"points":[[.5]]}"#,
        r#"{"fields":["x"],"points":[[1e999]]}"#,
        r#"{"fields":["x"],"points":[["\ud800"]]}"#,
        "{\"other\":\"\n\"}",
    ] {
        let error = parse(body.as_bytes(), &schema_of(CellKind::Number), 0.0).unwrap_err();
        assert!(matches!(error, FlatJsonError::Syntax(_)), "{body} gave {error}");
    }
    let not_utf_8 = b"{\"a\":\"\xff\"}";
    assert!(matches!(parse(not_utf_8, &schema_of(CellKind::Text), 0.0), Err(FlatJsonError::Syntax(_))));
    let deep = ["[".repeat(100_000), "]".repeat(100_000)].concat();
    assert!(matches!(parse(deep.as_bytes(), &schema_of(CellKind::Text), 0.0), Err(FlatJsonError::Syntax(_))));
}

#[test]
fn columns_must_be_known_unique_and_complete() {
    for names in [
        r#"["value"]"#,
        r#"["deltaTime"]"#,
        r#"["deltaTime","value","value"]"#,
        r#"["deltaTime","deltaTime","value"]"#,
        r#"["deltaTime","timestamp","value"]"#,
        r#"["timestamp","timestamp","value"]"#,
        r#"["deltaTime","value","other"]"#,
        r#"["deltatime","value"]"#,
        "[]",
    ] {
        let body = format!(r#"{{"format":"flatJSON","fields":{names},"points":[]}}"#);
        assert_eq!(message(&body, &schema_of(CellKind::Number)), COLUMNS, "{names}");
    }
    for names in [r#"["deltaTime","latitude"]"#, r#"["deltaTime","latitude","longitude","from.name"]"#] {
        let body = format!(r#"{{"format":"flatJSON","fields":{names},"points":[]}}"#);
        assert_eq!(message(&body, &position()), COLUMNS, "{names}");
    }
}

#[test]
fn columns_come_in_schema_order_whatever_the_order_sent() {
    let points = points(
        r#"{"format":"flatJSON","fields":["speed","longitude","deltaTime","latitude"],
            "points":[[null,6.5,0,46.25],[1.5,6.75,0.5,46.5]]}"#,
        &position(),
    );
    assert_eq!(points.times_ns, [0, 500_000_000]);
    let columns: Vec<_> = points.columns.iter().map(|column| (column.field, column.cells.clone())).collect();
    assert_eq!(
        columns,
        [
            (0, Cells::Number(vec![46.25, 46.5])),
            (1, Cells::Number(vec![6.5, 6.75])),
            (4, Cells::Number(vec![0.0, 1.5])),
        ]
    );
    assert_eq!(points.columns[0].present, None);
    assert_eq!(points.columns[2].present, Some(vec![false, true]));
}

#[test]
fn the_usual_forms_are_read_by_the_fast_way() {
    let schema = position();
    for body in [
        r#"{"format":"flatJSON","fields":["deltaTime","latitude","longitude"],"points":[[0,1,2],[1.5e0,-1,2.25]]}"#,
        r#" {"points" : [ [ 0 , 1 , 2 ] ] , "fields" : [ "deltaTime","latitude","longitude"] ,"format":"flatJSON" } "#,
        r#"{"points":[],"fields":["deltaTime","latitude","longitude"],"format":"flatJSON"}"#,
        r#"{"format":"flatJSON","fields":["timestamp","latitude","longitude","label","moving","speed","from"],
            "points":[[1001,1,2,"a",true,null,null],[1001,1,2,null,null,5,null],[1001,1,2,"é",false,5,null]]}"#,
    ] {
        let fast = parse_simple(body.as_bytes(), &schema, 1000.5);
        assert_eq!(fast, Some(points(body, &schema)), "{body}");
    }
}

#[test]
fn no_points_give_empty_columns() {
    let points = points(&post(""), &schema_of(CellKind::Number));
    assert_eq!((points.times_ns.len(), points.columns.len()), (0, 1));
}

#[test]
fn the_last_of_repeated_keys_counts() {
    let body = r#"{"points":[["x"]],"format":"x","fields":5,"format":"flatJSON","fields":["deltaTime","value"],
        "points":[[1,2]],"\u0070oints":[[3,4]]}"#;
    assert_eq!(points(body, &schema_of(CellKind::Number)).times_ns, [3_000_000_000]);
}

#[test]
fn times_are_truncated_to_nanoseconds_in_double_precision() {
    let time = |cell: &str| points(&post(&format!("[{cell},0]")), &schema_of(CellKind::Number)).times_ns[0];
    assert_eq!(time("0.0000000019"), 1);
    assert_eq!(time("-0"), 0);
    assert_eq!(time("1790000000.123456"), 1_790_000_000_123_456_000);
    assert_eq!(time("\"12abc\""), 12_000_000_000);
    assert_eq!(time("\"5\""), 5_000_000_000);
    assert_eq!(time("9223372036"), 9_223_372_036_000_000_000);
    let body =
        r#"{"format":"flatJSON","fields":["timestamp","value"],"points":[[1700000021.123,1],["1700000000.5",1]]}"#;
    let points = parse(body.as_bytes(), &schema_of(CellKind::Number), 1_700_000_000.5).unwrap();
    assert_eq!(points.times_ns, [20_622_999_906, 0]);
}

#[test]
fn times_that_cannot_be_are_refused_with_the_column_called_delta_time() {
    let refused = |cell: &str| message(&post(&format!("[{cell},0]")), &schema_of(CellKind::Number));
    let text =
        |value: &str, detail: &str| format!("Error during field coercion of [deltaTime] => [{value}]: Error: {detail}");
    assert_eq!(refused("-0.001"), text("-0.001", "Deltatime must be greater than 0"));
    assert_eq!(refused("\"-1\""), text("-1", "Deltatime must be greater than 0"));
    for (cell, shown) in [("null", "null"), ("true", "true"), ("{}", "[object Object]"), ("\"abc\"", "abc")] {
        assert_eq!(refused(cell), text(shown, &format!("Cannot coerce {shown} into deltaTime.")));
    }
    for cell in ["9223372037", "1e300", "\"Infinity\""] {
        assert!(refused(cell).contains("64 bits"), "{cell}");
    }
    let early = r#"{"format":"flatJSON","fields":["value","timestamp"],"points":[[1,1000]]}"#;
    assert_eq!(message(early, &schema_of(CellKind::Number)), text("1000", "Deltatime must be greater than 0"));
}

#[test]
fn number_cells_are_numbers_or_plain_decimal_texts() {
    for (cell, number) in [("1", 1.0), ("-2.5", -2.5), ("1e3", 1000.0), ("\"5\"", 5.0), ("\"007.50\"", 7.5)] {
        assert_eq!(values(CellKind::Number, cell), Ok(Cells::Number(vec![number])), "{cell}");
    }
    for cell in [
        r#""-6.5""#,
        r#""1e3""#,
        r#"".5""#,
        r#""5.""#,
        r#"" 5""#,
        r#""5\n""#,
        r#""""#,
        r#""٣""#,
        "null",
        "true",
        "{}",
        "[1]",
    ] {
        assert!(values(CellKind::Number, cell).is_err(), "{cell}");
    }
    assert_eq!(
        values(CellKind::Number, "true"),
        Err("Error during field coercion of [value] => [true]: Error: Cannot coerce true into number.".to_owned())
    );
}

#[test]
fn boolean_cells_are_booleans_or_their_names() {
    for (cell, boolean) in [("true", true), ("false", false), ("\"true\"", true), ("\"false\"", false)] {
        assert_eq!(values(CellKind::Boolean, cell), Ok(Cells::Boolean(vec![boolean])), "{cell}");
    }
    for cell in ["0", "1", "\"True\"", "\"\"", "null", "[]"] {
        assert!(values(CellKind::Boolean, cell).is_err(), "{cell}");
    }
}

#[test]
fn text_cells_take_anything_in_its_ecmascript_form() {
    for (cell, text) in [
        ("\"a\\u00e9\"", "aé"),
        ("\"\"", ""),
        ("12", "12"),
        ("12.0", "12"),
        ("-0", "0"),
        ("1e21", "1e+21"),
        ("0.1", "0.1"),
        ("true", "true"),
        ("null", "null"),
        ("{\"a\":1}", "[object Object]"),
        ("[1,2]", "1,2"),
        ("[null,[true,[]],{}]", ",true,,[object Object]"),
    ] {
        let expected = Cells::Text { dictionary: vec![text.into()], codes: vec![0] };
        assert_eq!(values(CellKind::Text, cell), Ok(expected), "{cell}");
    }
}

#[test]
fn equal_texts_share_a_place_in_the_dictionary() {
    let body = post(r#"[0,"a"],[1,"b"],[2,"a"],[3,"a"],[4,"b"],[5,""]"#);
    let expected = Cells::Text { dictionary: vec!["a".into(), "b".into(), "".into()], codes: vec![0, 1, 0, 0, 1, 2] };
    assert_eq!(points(&body, &schema_of(CellKind::Text)).columns[0].cells, expected);
}

#[test]
fn null_means_absent_in_optional_columns_of_every_kind() {
    let body = r#"{"format":"flatJSON","fields":["deltaTime","latitude","longitude","label","moving","speed","from"],
        "points":[[0,1,2,null,null,null,null],[1,1,2,"x","true","5",null]]}"#;
    let points = points(body, &position());
    assert_eq!(points.columns.len(), 5, "the unsupported column holds nothing");
    for column in &points.columns[2..] {
        assert_eq!(column.present, Some(vec![false, true]));
    }
    let refused = body.replace("\"5\",null", "5,{}");
    assert_eq!(
        message(&refused, &position()),
        "Error during field coercion of [from] => [[object Object]]: Error: Unknown inner type: 'object'."
    );
}

#[test]
fn a_null_series_keeps_its_times_only() {
    let points = points(&post(r#"[0,null],[1,5],[2,{"a":[]}]"#), &schema_of(CellKind::Null));
    assert_eq!(points.times_ns, [0, 1_000_000_000, 2_000_000_000]);
    assert!(points.columns.is_empty());
}

#[test]
fn a_long_refused_value_is_shortened_in_the_message() {
    let body = post(&format!("[0,\"{}\"]", "é".repeat(5000)));
    assert!(message(&body, &schema_of(CellKind::Number)).len() < 1000);
}

#[test]
fn a_batch_gives_its_elements_in_order_as_slices() {
    let body = r#"{"format":"seriesBatch","data":[
        {"eventId":"ck1","data":{"format":"flatJSON"},"more":1}, {"data":5,"eventId":"c\u006b2"}, {"eventId":"ck3"}]}"#;
    let elements: Vec<_> = parse_batch(body.as_bytes()).unwrap().into_iter().map(Result::unwrap).collect();
    let seen: Vec<_> = elements.iter().map(|element| (&*element.event_id, element.flat_json)).collect();
    let expected: [(&str, &[u8]); 3] = [("ck1", br#"{"format":"flatJSON"}"#), ("ck2", b"5"), ("ck3", b"null")];
    assert_eq!(seen, expected);
    assert_eq!(parse_batch(br#"{"format":"seriesBatch","data":[]}"#), Ok(Vec::new()));
}

#[test]
fn a_batch_is_checked_in_the_order_of_the_specification() {
    for (body, expected) in [
        ("5", "Request body needs to be in JSON format."),
        ("[]", "Envelope \"format\" must be \"seriesBatch\""),
        (r#"{"format":"flatJSON"}"#, "Envelope \"format\" must be \"seriesBatch\""),
        (
            r#"{"format":"seriesBatch","data":{}}"#,
            "Envelope must have a data list, containing individual batch elements",
        ),
        (r#"{"format":"seriesBatch"}"#, "Envelope must have a data list, containing individual batch elements"),
    ] {
        assert_eq!(parse_batch(body.as_bytes()).unwrap_err().to_string(), expected, "{body}");
    }
    assert!(matches!(parse_batch(b"{"), Err(FlatJsonError::Syntax(_))));
}

#[test]
fn a_malformed_batch_element_is_an_error_in_its_place() {
    let body = r#"{"format":"seriesBatch","data":[{"eventId":"a","data":{}},{"eventId":5},[],null,"x"]}"#;
    let elements = parse_batch(body.as_bytes()).unwrap();
    assert!(elements[0].is_ok());
    let messages: Vec<_> = elements[1..].iter().map(|element| element.as_ref().unwrap_err().to_string()).collect();
    let no_id = "Batch element must contain an eventId of the series event.";
    let no_object = "Batch element must be an object with properties.";
    assert_eq!(messages, [no_id, no_id, no_object, no_object]);
}
