//! What moved, and what of others is on our objects, in words.

use super::view::Sign;
use crate::plan::{Drift, ForeignNote, Moved, Plan, Winner};
use crate::resource::ResourceId;
use crate::resource::address::CONNECTED;

/// Returns what moved: the sign, the resource, what happened, and who wins.
pub(super) fn drift(drift: &Drift) -> (Sign, String, String, &'static str) {
    let Drift { owner, object, moved, winner } = drift;
    let none = || "none".to_owned();
    let (sign, what) = match moved {
        Moved::Deleted => (Sign::Remove, format!("{object} is gone")),
        Moved::Changed { field, last_applied: _, live: _ } if field == "content" => {
            (Sign::Change, format!("{object} was edited"))
        }
        Moved::Changed { field, last_applied: _, live: Some(live) } if field == CONNECTED.0 => {
            (Sign::Change, format!("{object} has lost a {field}: {live}"))
        }
        Moved::Changed { field, last_applied, live } => {
            let values = (last_applied.clone().unwrap_or_else(none), live.clone().unwrap_or_else(none));
            let object = match object {
                ResourceId::Link(..) => String::new(),
                ResourceId::Netns(_)
                | ResourceId::Address(..)
                | ResourceId::Route(..)
                | ResourceId::Sysctl(..)
                | ResourceId::NftTable(_)
                | ResourceId::NftElement(..)
                | ResourceId::Passage(..)
                | ResourceId::Neighbour(..)
                | ResourceId::Qdisc(..)
                | ResourceId::File(_) => format!("{object} "),
            };
            (Sign::Change, format!("{object}{field} {} -> {}", values.0, values.1))
        }
    };
    let winner = match (winner, moved) {
        (Winner::Manifest, Moved::Deleted) => "will be made again",
        (Winner::Manifest, Moved::Changed { .. }) => "will be set back",
        (Winner::Ignored, _) => "left alone: ignored",
        (Winner::Agreed, _) => "the manifest agrees",
        (Winner::Removed, _) => "will be destroyed",
    };
    (sign, owner.to_string(), what, winner)
}

/// Returns what becomes of what others put on our objects.
pub(super) fn fate(note: &ForeignNote) -> &'static str {
    if note.goes { "goes along" } else { "left alone" }
}

/// Returns how much moved, in a line; `None` when nothing did.
pub(super) fn moved(plan: &Plan) -> Option<String> {
    let ignored = plan.drift.iter().filter(|drift| drift.winner == Winner::Ignored).count();
    let going = plan.foreign.iter().filter(|note| note.goes).count();
    let counts = [
        (plan.drift.len(), "moved"),
        (ignored, "ignored"),
        (plan.foreign.len() - going, "of others, left alone"),
        (going, "of others, going along"),
    ];
    let told = counts.iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told.map(|(count, what)| format!("{count} {what}")).collect();
    (!told.is_empty()).then(|| told.join(", "))
}
