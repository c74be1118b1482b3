//! `bandwidth` of an attachment.

use super::fields::{self, Fields, shortened, wrong_type};
use super::node::{Kind, Node};
use super::problem::Problem;
use super::report::Report;
use super::{At, Place, scalar};
use crate::resource::qdisc::Rate;

/// How fast a container receives and sends on a network.
///
/// ```yaml
/// bandwidth: {ingress: 10mbit, egress: 5mbit, burst: 32kbit}
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bandwidth {
    /// `ingress`: what it receives.
    pub ingress: Option<At<Rate>>,
    /// `egress`: what it sends.
    pub egress: Option<At<Rate>>,
    /// `burst`: how many bytes may go at once.
    pub burst: Option<At<u32>>,
}

/// The units of rates, in bits a second, as tc(8) has them.
const RATES: &[(&str, u64)] = &[
    ("bit", 1),
    ("kbit", 1_000),
    ("mbit", 1_000_000),
    ("gbit", 1_000_000_000),
    ("tbit", 1_000_000_000_000),
    ("kibit", 1 << 10),
    ("mibit", 1 << 20),
    ("gibit", 1 << 30),
    ("tibit", 1 << 40),
    ("bps", 8),
    ("kbps", 8_000),
    ("mbps", 8_000_000),
    ("gbps", 8_000_000_000),
    ("tbps", 8_000_000_000_000),
    ("kibps", 8 << 10),
    ("mibps", 8 << 20),
    ("gibps", 8 << 30),
    ("tibps", 8 << 40),
];

/// The units of sizes, in bits, as tc(8) has them: all are powers of 1024.
const SIZES: &[(&str, u64)] = &[
    ("b", 8),
    ("k", 8 << 10),
    ("kb", 8 << 10),
    ("m", 8 << 20),
    ("mb", 8 << 20),
    ("g", 8 << 30),
    ("gb", 8 << 30),
    ("kbit", 1 << 10),
    ("mbit", 1 << 20),
    ("gbit", 1 << 30),
];

/// A kind of amount: what it is called, its units, and how one is written.
struct Measure {
    what: &'static str,
    units: &'static [(&'static str, u64)],
    example: &'static str,
}

const RATE: Measure = Measure {
    what: "a rate",
    units: RATES,
    example: "write a number and a unit of tc, e.g. 10mbit (megabits a second) or 2mbps (megabytes a second)",
};
const SIZE: Measure = Measure {
    what: "a burst",
    units: SIZES,
    example: "write a number and a unit of tc, e.g. 32kb (kilobytes) or 256kbit (kilobits)",
};

/// Returns the limits of an attachment.
pub(super) fn bandwidth(fields: Fields<'_>, report: &mut Report) -> Option<At<Bandwidth>> {
    let entry = fields.get("bandwidth")?;
    let fields = Fields::open(&entry.value, &fields::BANDWIDTH, report)?;
    let mut rate = |key: &str| fields.value(key).and_then(|node| rate(node, report));
    let (ingress, egress) = (rate("ingress"), rate("egress"));
    let burst = fields.value("burst").and_then(|node| burst(node, report));
    // A key that is misspelt is told already.
    if fields.entries().iter().all(|entry| entry.key == "burst") {
        let message = "`bandwidth` limits nothing";
        let problem = Problem::new("manifest::missing_key", message, entry.at, "which direction?");
        report.add(problem.help("write `bandwidth: {ingress: 10mbit, egress: 5mbit}`, or one of the two"));
    }
    Some(At { value: Bandwidth { ingress, egress, burst }, place: entry.at })
}

fn rate(node: &Node, report: &mut Report) -> Option<At<Rate>> {
    let bits = amount(node, &RATE, report)?;
    let rate = Rate(bits / 8);
    if rate < Rate::LOWEST || rate > Rate::HIGHEST {
        let message = format!("a rate is {} to {}", Rate::LOWEST, Rate::HIGHEST);
        let label = if rate < Rate::LOWEST { "lower" } else { "higher" };
        report.add(Problem::new("manifest::bad_rate", message, node.place, label).help(
            "leave the limit out where there is to be none; whom no packet may reach is not to be on the network",
        ));
        return None;
    }
    Some(At { value: rate, place: node.place })
}

fn burst(node: &Node, report: &mut Report) -> Option<At<u32>> {
    let bits = amount(node, &SIZE, report)?;
    let Ok(value) = u32::try_from(bits / 8) else {
        let message = "a burst is less than 4gb".to_owned();
        report.add(Problem::new("manifest::bad_rate", message, node.place, "more"));
        return None;
    };
    Some(At { value, place: node.place })
}

/// Returns how many bits an amount is.
fn amount(node: &Node, measure: &Measure, report: &mut Report) -> Option<u64> {
    let Measure { what, units, example } = measure;
    if matches!(node.kind, Kind::Integer(_) | Kind::Number(_)) {
        report.add(wrong_type(node, &format!("{what} has a unit")).help(*example));
        return None;
    }
    let text = scalar::text(node, what, report)?;
    let wrong = |place: Place, label: &str, help: &str| {
        let message = format!("`{}` is not {what}", shortened(text));
        Problem::new("manifest::bad_rate", message, place, label).help(help)
    };
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let lower = unit.to_ascii_lowercase();
        let alike = units.iter().find(|(name, _)| *name == lower && *name != unit);
        let help = alike.map(|(name, _)| format!("write {number}{name}: units are in lower case"));
        report.add(wrong(node.place, "no unit of tc", help.as_deref().unwrap_or(example)));
        return None;
    };
    let bits = scaled(number, *factor);
    if bits.is_none() {
        report.add(wrong(node.place, "not a number that can be meant", example));
    }
    bits
}

/// Returns a decimal number times a factor, rounded down; `None` when it is no number, or too large.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    if part.is_empty() || part.len() > 9 {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(part.len()).ok()?);
    let part = u128::from(part.parse::<u64>().ok()?) * u128::from(factor) / scale;
    whole.parse::<u64>().ok()?.checked_mul(factor)?.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_scaled_exactly_or_not_at_all() {
        assert_eq!(scaled("10", 1_000_000), Some(10_000_000));
        assert_eq!(scaled("1.5", 1_000_000), Some(1_500_000));
        assert_eq!(scaled("0.000000001", 1_000_000_000), Some(1));
        for wrong in ["", ".", "1.", ".5", "1.2.3", "99999999999999999999", "0.0000000001"] {
            assert_eq!(scaled(wrong, 8), None, "{wrong}");
        }
        assert_eq!(scaled("99999999999999999", 8_000), None);
    }
}
