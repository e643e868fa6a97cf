//! Which work brings a table up: none, some, or all of it.

use flowline_model::DatasetName;

use super::inputs::Input;
use super::standing::Standing;
use crate::upkeep::{Follow, Hop, Upkeep};

/// Which work brings a table up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Strategy {
    /// No row of any input changed.
    Nothing,
    /// The whole table is computed again, in one commit, for this reason.
    Rebuild(String),
    /// Only what changed is read and what it affects is written.
    Follow,
}

/// Decides it. `definition` is what the transform is now; `partitions_known` says of an input that was rewritten
/// whether the partitions that its changes touched tell what they affect.
pub(super) fn strategy(
    hop: &Hop,
    definition: &str,
    standing: &Standing,
    inputs: &[Input],
    partitions_known: &dyn Fn(&Input) -> bool,
) -> Strategy {
    let rebuild = |why: String| Strategy::Rebuild(why);
    if standing.transaction.is_none() {
        return rebuild("first run".to_owned());
    }
    match &standing.definition {
        None => return rebuild("what it was computed from is no longer known".to_owned()),
        Some(known) if known != definition => return rebuild("its definition changed".to_owned()),
        Some(_) => {}
    }
    // Tables that are read as of a time are none of them: their changes change nothing that was written.
    let followed = || inputs.iter().filter(|input| hop.scans.contains(&input.dataset));
    if let Some(input) = followed().find(|input| input.replaced) {
        return rebuild(format!("the table of `{}` is another one", input.dataset));
    }
    let changed: Vec<&Input> = followed().filter(|input| input.changed()).collect();
    if changed.is_empty() {
        return Strategy::Nothing;
    }
    if hop.upkeep == Upkeep::Full {
        return rebuild("it is materialized in full".to_owned());
    }
    for input in changed {
        if !follows(hop, &input.dataset) {
            return rebuild(format!("rows of `{}` change rows that are there", input.dataset));
        }
        if input.only_grew() || hop.upkeep == Upkeep::Partition && partitions_known(input) {
            continue;
        }
        if let Some(why) = untold(hop, input) {
            return rebuild(format!("rows of `{}` were removed or rewritten, and {why}", input.dataset));
        }
    }
    Strategy::Follow
}

/// Why what was made from rows that are gone cannot be found; none when it can.
fn untold(hop: &Hop, input: &Input) -> Option<&'static str> {
    match &hop.upkeep {
        _ if !input.told_by_files() => Some("its log does not say which"),
        Upkeep::Partition | Upkeep::MergeAffected | Upkeep::MergeAgain(_) => None,
        Upkeep::Append | Upkeep::MergeNew(_) | Upkeep::Full => {
            Some("neither partitions nor a key tell what was made from them")
        }
    }
}

/// Whether every mention of a dataset is followed.
fn follows(hop: &Hop, dataset: &DatasetName) -> bool {
    let mentions = hop.scans.iter().zip(&hop.follows).filter(|(scan, _)| *scan == dataset);
    mentions.into_iter().all(|(_, follow)| *follow != Follow::Rebuilds)
}
