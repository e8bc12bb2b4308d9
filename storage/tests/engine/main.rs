//! The contract of a base engine: the same behaviours, run against every engine. PostgreSQL runs as a real server, which the
//! tests start. Where `initdb` is not found they say so and pass, unless `COREWARD_REQUIRE_POSTGRES` is set (as in CI).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

#[path = "../common/mod.rs"]
mod common;

mod accesses;
mod batches;
mod events;
mod home;
mod outages;
mod pages;
mod server;
mod streams;

/// Each behaviour once for each engine.
macro_rules! every_engine_keeps {
    ($($behaviour:path => $name:ident,)*) => {
        mod embedded {
            $(#[test] fn $name() { $behaviour(&super::home::Home::embedded()); })*
        }
        mod postgres {
            $(#[test] fn $name() { super::home::Home::postgres().iter().for_each($behaviour); })*
        }
    };
}

every_engine_keeps! {
    crate::events::reads_back => an_event_reads_back_as_it_was_written,
    crate::events::audited => the_audit_record_is_committed_with_its_write,
    crate::events::stamps => stamps_of_a_user_always_grow,
    crate::events::taken => the_id_of_an_event_is_taken_once,
    crate::events::stale => a_grant_of_an_older_space_is_stale_and_writes_nothing,
    crate::events::not_granted => a_grant_without_the_right_to_write_is_refused,
    crate::events::isolated => no_command_reaches_the_rows_of_another_user,
    crate::events::odd_texts => every_text_that_json_can_hold_comes_back,
    crate::events::series => series_keys_are_never_given_twice,
    crate::events::concurrent => writes_of_a_user_at_the_same_time_are_all_kept_in_some_order,
    crate::streams::merged => a_stream_deletion_merges_its_events_into_the_parent,
    crate::streams::stripped => a_stream_deletion_strips_or_deletes_its_events,
    crate::streams::many => a_stream_deletion_of_thousands_of_events_is_one_command,
    crate::streams::history => a_stream_deletion_keeps_former_states_if_history_is_kept,
    crate::streams::unique => stream_ids_and_sibling_names_are_unique,
    crate::streams::versioned => a_write_to_the_structure_raises_the_space_version_by_one,
    crate::accesses::unique => tokens_and_the_triple_are_unique_among_live_accesses,
    crate::accesses::reads_back => an_access_reads_back_as_it_was_written,
    crate::batches::sees_itself => a_batch_sees_its_own_writes_before_they_are_committed,
    crate::batches::failing_call => a_failed_call_in_a_batch_leaves_the_others,
    crate::batches::failing_read => a_batch_goes_on_after_a_read_of_nothing,
    crate::batches::long => a_long_batch_is_cut_and_others_are_answered_meanwhile,
    crate::batches::two => two_batches_of_one_slot_are_open_together,
    crate::batches::unknown => a_batch_that_is_not_open_is_refused,
    crate::pages::bounded => many_events_come_in_bounded_pages,
    crate::pages::same_bytes => a_page_is_the_json_of_its_events_byte_by_byte,
    crate::pages::audit => audit_records_read_back_in_pryvs_shape,
    crate::home::accounts => accounts_and_series_of_a_slot_are_told,
    crate::home::closed => a_closed_store_says_so,
}
