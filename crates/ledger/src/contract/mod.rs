//! What every ledger must do: the suite that each implementation passes.
//!
//! ```text
//! /// An empty ledger and what must outlive it (a folder, say); none when its server is not at hand.
//! async fn fresh() -> Option<(Arc<dyn Ledger>, Guard)> { … }
//! flowline_ledger::ledger_contract!(fresh);
//! ```
#![allow(missing_docs, reason = "the names of the cases say what must hold")]

mod checks;
mod facts;
mod registry;
mod runs;
pub mod samples;
mod upkeep;

pub use checks::*;
pub use facts::*;
pub use registry::*;
pub use runs::*;
pub use upkeep::*;

/// Declares one test for each case of the contract; `$fresh` is an async function that returns an empty ledger each
/// time with what must outlive it, or none when there is no server to test with.
#[macro_export]
macro_rules! ledger_contract {
    ($fresh:path) => {
        $crate::ledger_contract!(
            @cases $fresh,
            an_empty_ledger_answers_empty,
            a_run_reads_back_as_it_was_recorded,
            a_run_is_recorded_once,
            a_commit_is_recorded_once_whichever_run_offers_it,
            a_run_that_has_not_ended_is_refused,
            totals_are_the_sum_of_the_runs,
            positions_reach_from_the_first_run_to_the_last,
            a_skipped_offset_is_a_gap,
            records_that_were_read_and_not_counted_are_a_gap,
            failed_runs_move_nothing,
            compactions_add_nothing,
            replays_take_out_of_quarantine_and_move_no_position,
            a_failed_run_that_committed_after_all_is_put_right,
            files_are_landed_once_and_have_no_position,
            runs_are_filtered_and_paged_newest_first,
            commits_come_newest_first,
            standings_tell_how_a_hop_is_doing,
            a_cancelled_run_says_nothing_about_its_hop,
            concurrent_writers_lose_nothing,
            the_same_run_from_many_writers_counts_once,
            findings_of_one_subject_are_one_row,
            the_same_finding_again_is_the_same_fact,
            a_finding_of_drift_keeps_what_was_seen,
            texts_of_any_kind_are_kept,
            attempts_end_once,
            the_last_deployment_is_the_catalog,
            a_contract_gets_a_version_when_it_changes,
            abandoned_runs_are_closed,
            an_abandoned_run_that_committed_is_put_right,
            pruning_keeps_what_stands,
            check_results_read_back_newest_first,
            findings_open_and_close_with_their_check,
            rows_that_fail_are_counted_once,
            what_is_not_declared_any_more_is_closed_and_not_latest,
            profiles_read_back_by_version,
            profiles_are_paged_newest_first,
            pruning_keeps_the_newest_result_of_each_check,
            changes_of_the_registry_come_back_in_order,
            a_revision_of_the_registry_is_given_once,
            changes_from_many_writers_leave_no_gap,
        );
    };
    (@cases $fresh:path, $($case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                match $fresh().await {
                    Some((ledger, _guard)) => $crate::contract::$case(ledger).await,
                    None => println!("skipped: there is no server to test with"),
                }
            }
        )*
    };
}
